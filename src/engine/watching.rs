//! Samples of a monitor: taken until a time or a condition, told to nobody but the series and whoever watches, and an alarm when an alert's condition has held.
//!
//! Must not change anything on a target, nor end because a reading failed: what could not be seen now may be seen with the next sample.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::dispatcher::Message;
use super::executor::{Executor, READ_LIMIT, missing, read};
use super::series;
use super::step_log::step_folder;
use crate::machine::decide::Input;
use crate::machine::task::{Task, Watch};
use crate::model::outcome::Failure;
use crate::model::samples::Sampled;
use crate::ports::action::Context;

impl Executor {
    /// Samples until it is over; what was seen in all.
    pub(super) async fn watch(&self, task: &Task, watch: &Watch) -> Result<Value, Failure> {
        let context = self.context(task);
        let folder = step_folder(&self.files, &task.step);
        let mut sampled = series::load(&folder);
        let mut holding: HashMap<&str, Instant> = HashMap::new();
        let mut said: BTreeMap<String, String> = BTreeMap::new();
        loop {
            let now = self.clock.now();
            if watch.until.is_some_and(|until| now >= until) {
                return seen(&sampled, watch.samples.len());
            }
            let begun = Instant::now();
            let (result, failing) = self.sample(&context, watch).await;
            sampled.samples += 1;
            sampled.failed += failing.len() as u64;
            for (name, why) in &failing {
                if said.get(name) != Some(why) {
                    context.log.line(&format!("{name} could not be read: {why}"));
                }
            }
            said.clone_from(&failing);
            sampled.failing = failing;
            let mut latest = Map::new();
            for (name, number) in &watch.series {
                if let Some(number) = watch.number(number, &result) {
                    sampled.series.entry(name.clone()).or_default().add(now, number);
                    latest.insert(name.clone(), exact(number));
                }
            }
            if let Err(error) = series::save(&sampled, &folder) {
                // Samples are for people to look at: the run goes on without.
                tracing::warn!(step = %task.step, %error, "the series cannot be written");
            }
            for alarm in &watch.alarms {
                match watch.holds(&alarm.when, &result) {
                    Ok(true) => {
                        let since = *holding.entry(&alarm.name).or_insert(begun);
                        if alarm.hold.is_none_or(|hold| since.elapsed() >= hold) {
                            let message = alarm.message.as_ref().and_then(|message| watch.text(message, &result));
                            self.alarm(task, &alarm.name, message.map(|text| self.redactor.text(&text)), latest.clone());
                        }
                    }
                    // What has no value now does not hold; that a reading failed was said.
                    Ok(false) | Err(_) => {
                        holding.remove(alarm.name.as_str());
                    }
                }
            }
            if let Some(that) = &watch.that
                && watch.holds(that, &result).is_ok_and(|holds| holds)
            {
                return seen(&sampled, watch.samples.len());
            }
            let left = watch.until.map(|until| until.duration_since(self.clock.now()).max(SignedDuration::ZERO));
            let pause = watch.every.saturating_sub(begun.elapsed()).max(Duration::from_millis(10));
            sleep(left.and_then(|left| Duration::try_from(left).ok()).map_or(pause, |left| pause.min(left))).await;
        }
    }

    /// One sample: what each reading gave, `null` where it failed, and why it did.
    async fn sample(&self, context: &Context, watch: &Watch) -> (Value, BTreeMap<String, String>) {
        let readings = watch.samples.iter().map(async |(name, action, inputs)| {
            let result = async {
                let action = self.action(action).ok_or_else(|| missing(action))?;
                let inputs = self.inputs(inputs)?;
                read(READ_LIMIT, action.observe(context, &inputs)).await
            };
            (name, result.await)
        });
        let mut result = Map::new();
        let mut failing = BTreeMap::new();
        for (name, reading) in futures::future::join_all(readings).await {
            match reading {
                Ok(value) => {
                    result.insert(name.clone(), self.redactor.value(value));
                }
                Err(failure) => {
                    failing.insert(name.clone(), self.redactor.text(&failure.message));
                    result.insert(name.clone(), Value::Null);
                }
            }
        }
        (Value::Object(result), failing)
    }

    fn alarm(&self, task: &Task, alert: &str, message: Option<String>, series: Map<String, Value>) {
        let input = Input::Alarm { node: task.node, token: task.token, alert: alert.to_owned(), message, series };
        // The dispatcher is gone only when nobody waits for it any more.
        let _ = self.to.send(Message::Input(input));
    }
}

/// A number as expressions and texts take it: whole ones are integers, as those that were read mostly are.
fn exact(number: f64) -> Value {
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within what a double holds exactly")]
    if number.fract() == 0.0 && number.abs() <= LARGEST { json!(number as i64) } else { json!(number) }
}

/// What was seen in all, as outputs: for each series the least, the greatest and the last value. `readings`: how many there are in a sample.
fn seen(sampled: &Sampled, readings: usize) -> Result<Value, Failure> {
    // A reading that fails at the end, or now and then, ends nothing.
    let nothing = readings > 0 && sampled.failed >= sampled.samples.saturating_mul(readings as u64);
    if sampled.samples == 0 || nothing {
        let why = sampled.failing.iter().map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>().join("; ");
        let message = if why.is_empty() {
            "nothing was sampled: its time was over before it began".to_owned()
        } else {
            format!("nothing could be sampled: {why}")
        };
        return Err(Failure::permanent(message));
    }
    let series: Map<String, Value> = sampled
        .series
        .iter()
        .map(|(name, series)| {
            let min = series.points.iter().map(|point| point.min).fold(f64::INFINITY, f64::min);
            let max = series.points.iter().map(|point| point.max).fold(f64::NEG_INFINITY, f64::max);
            let last = series.points.last().map(|point| point.last);
            (name.clone(), json!({ "min": exact(min), "max": exact(max), "last": last.map(exact) }))
        })
        .collect();
    Ok(json!({ "samples": sampled.samples, "failed": sampled.failed, "series": series }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(samples: u64, failed: u64) -> Sampled {
        let failing = [("service".to_owned(), "no answer".to_owned())].into_iter().collect();
        Sampled { samples, failed, failing, ..Sampled::default() }
    }

    #[test]
    fn a_last_reading_that_failed_does_not_make_nothing_of_those_before_it() {
        assert_eq!(seen(&sampled(3, 1), 1).unwrap()["samples"], 3);
        assert_eq!(seen(&sampled(3, 5), 2).unwrap()["failed"], 5);
        assert_eq!(seen(&sampled(3, 6), 2).unwrap_err().message, "nothing could be sampled: service: no answer");
        assert!(seen(&Sampled::default(), 1).unwrap_err().message.contains("its time was over before it began"));
    }
}
