//! Evaluates a query over what the load has come to.
//!
//! It must not read a clock. Invariant: a series is there only once something was counted in it, as a real counter is.

use serde_json::{Map, Value, json};

use super::parse::{Query, Selector};
use crate::sandbox::traffic::{Tally, ready_pods};
use crate::sandbox::world::World;

/// When, and how much faster than usual time goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    /// Milliseconds since 1970.
    pub(super) time: u64,
    pub(super) speed: f64,
}

type Labels = Map<String, Value>;

/// What a query gives.
#[derive(Debug, Clone)]
pub(super) enum Data {
    Scalar(f64),
    Vector(Vec<(Labels, f64)>),
}

/// A number as Prometheus writes it.
fn text(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        number.to_string()
    }
}

fn sample(time: u64, number: f64) -> Value {
    json!([time as f64 / 1000.0, text(number)])
}

impl Data {
    /// As the answer to a query at one moment.
    pub(super) fn instant(&self, time: u64) -> Value {
        match self {
            Self::Scalar(number) => json!({ "resultType": "scalar", "result": sample(time, *number) }),
            Self::Vector(series) => {
                let series: Vec<Value> =
                    series.iter().map(|(labels, number)| json!({ "metric": labels, "value": sample(time, *number) })).collect();
                json!({ "resultType": "vector", "result": series })
            }
        }
    }

    /// As the answer to a query over a range.
    pub(super) fn range(points: Vec<(u64, Self)>) -> Value {
        let mut all: Vec<(Labels, Vec<Value>)> = Vec::new();
        for (time, data) in points {
            let series = match data {
                Self::Scalar(number) => vec![(Labels::new(), number)],
                Self::Vector(series) => series,
            };
            for (labels, number) in series {
                match all.iter_mut().find(|(known, _)| *known == labels) {
                    Some((_, points)) => points.push(sample(time, number)),
                    None => all.push((labels, vec![sample(time, number)])),
                }
            }
        }
        let all: Vec<Value> = all.into_iter().map(|(labels, points)| json!({ "metric": labels, "values": points })).collect();
        json!({ "resultType": "matrix", "result": all })
    }
}

/// A counter or gauge with its labels, as a value at the moment and as a rate over so many seconds.
enum Source<'a> {
    Gauge(f64),
    Counter(&'a Tally),
}

fn sources(world: &World) -> Vec<(&'static str, Labels, Source<'_>)> {
    let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect::<Labels>();
    let service = [("job", "ticket-service"), ("namespace", "production")];
    let mut all = Vec::new();
    for (code, tally) in [("200", &world.traffic.served), ("503", &world.traffic.failed)] {
        all.push(("http_requests_total", labels(&[service[0], service[1], ("code", code)]), Source::Counter(tally)));
    }
    for pod in ready_pods(&world.store) {
        all.push(("up", labels(&[service[0], service[1], ("pod", &pod)]), Source::Gauge(1.0)));
    }
    all
}

fn selected<'a>(selector: &Selector, world: &'a World) -> Vec<(Labels, Source<'a>)> {
    let fits = |labels: &Labels| {
        let label = |name: &str| labels.get(name).and_then(Value::as_str);
        selector.matchers.iter().all(|matcher| matcher.fits(label))
    };
    let all = sources(world).into_iter();
    all.filter(|(name, labels, _)| *name == selector.name && fits(labels)).map(|(_, labels, source)| (labels, source)).collect()
}

/// What the query gives at a moment.
///
/// # Errors
/// Why it cannot be evaluated, in Prometheus's words.
pub(super) fn evaluate(query: &Query, world: &World, at: Moments) -> Result<Data, String> {
    match query {
        Query::Number(number) => Ok(Data::Scalar(*number)),
        Query::Selector(selector) => {
            let of = |(labels, source): (Labels, Source<'_>)| {
                let value = match source {
                    Source::Gauge(value) => value,
                    Source::Counter(tally) => Some(tally.at(at.time, at.speed)).filter(|value| *value > 0.0)?,
                };
                let mut named = Labels::from_iter([("__name__".to_owned(), json!(selector.name))]);
                named.extend(labels);
                Some((named, value))
            };
            Ok(Data::Vector(selected(selector, world).into_iter().filter_map(of).collect()))
        }
        Query::Rate(selector, range) => {
            let of = |(labels, source): (Labels, Source<'_>)| match source {
                Source::Gauge(_) => Some((labels, 0.0)),
                Source::Counter(tally) if tally.at(at.time, at.speed) > 0.0 => Some((labels, tally.rate(at.time, at.speed, *range))),
                Source::Counter(_) => None,
            };
            Ok(Data::Vector(selected(selector, world).into_iter().filter_map(of).collect()))
        }
        Query::Sum(inner) => match evaluate(inner, world, at)? {
            Data::Scalar(_) => Err("expected type instant vector in aggregation expression, got scalar".to_owned()),
            Data::Vector(series) if series.is_empty() => Ok(Data::Vector(series)),
            Data::Vector(series) => Ok(Data::Vector(vec![(Labels::new(), series.iter().map(|(_, number)| number).sum())])),
        },
        Query::Vector(inner) => match evaluate(inner, world, at)? {
            Data::Scalar(number) => Ok(Data::Vector(vec![(Labels::new(), number)])),
            Data::Vector(_) => Err("expected type scalar in call to function \"vector\", got instant vector".to_owned()),
        },
        Query::Divide(left, right) => match (evaluate(left, world, at)?, evaluate(right, world, at)?) {
            (Data::Scalar(left), Data::Scalar(right)) => Ok(Data::Scalar(left / right)),
            (Data::Vector(left), Data::Scalar(right)) => {
                Ok(Data::Vector(left.into_iter().map(|(labels, number)| (labels, number / right)).collect()))
            }
            (Data::Scalar(left), Data::Vector(right)) => {
                Ok(Data::Vector(right.into_iter().map(|(labels, number)| (labels, left / number)).collect()))
            }
            (Data::Vector(left), Data::Vector(right)) => {
                let of = |(labels, number): (Labels, f64)| {
                    right.iter().find(|(other, _)| *other == labels).map(|(_, divisor)| (labels, number / divisor))
                };
                Ok(Data::Vector(left.into_iter().filter_map(of).collect()))
            }
        },
        Query::Or(left, right) => match (evaluate(left, world, at)?, evaluate(right, world, at)?) {
            (Data::Vector(mut left), Data::Vector(right)) => {
                let more: Vec<(Labels, f64)> =
                    right.into_iter().filter(|(labels, _)| !left.iter().any(|(known, _)| known == labels)).collect();
                left.extend(more);
                Ok(Data::Vector(left))
            }
            _ => Err("set operator \"or\" not allowed in binary scalar expression".to_owned()),
        },
    }
}
