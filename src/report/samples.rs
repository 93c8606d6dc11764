//! What a monitor has seen, plotted: one line for each series.
//!
//! Must not: hide a peak. Where several points share a column, its bar is that of the greatest.

use serde_json::{Value, json};

use super::section;
use super::style::{Role, Style};
use super::text;
use super::view::RunView;
use crate::model::samples::{Point, Sampled};

/// The widest that a plot gets.
const WIDEST: usize = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The section.
pub(super) fn section(page: &mut Vec<String>, view: &RunView, style: &Style) {
    let lines = view.sampled.iter().flat_map(|(step, sampled)| of_monitor(step.as_str(), sampled, style)).collect();
    section::section(page, style, "Samples", lines);
}

fn of_monitor(step: &str, sampled: &Sampled, style: &Style) -> Vec<String> {
    let step = step.rsplit_once('[').map_or(step, |(step, _)| step);
    let points = sampled.series.values().flat_map(|series| &series.points);
    let (first, last) = (points.clone().map(|point| point.at).min(), points.map(|point| point.at).max());
    let since = match (first, last) {
        (Some(first), Some(last)) if last > first => format!(" over {}", text::duration(first, last)),
        _ => String::new(),
    };
    let mut lines =
        vec![format!("{}  {}{since}", style.paint(Role::Strong, &text::clean(step)), text::count(count(sampled.samples), "sample"))];
    let name = sampled.series.keys().map(|name| text::columns(name)).max().unwrap_or(0);
    for (called, series) in &sampled.series {
        let Some(latest) = series.points.last() else { continue };
        let (min, max) = bounds(&series.points);
        let numbers = format!("last {}, min {}, max {}", number(latest.last), number(min), number(max));
        let room = style.width.saturating_sub(name + text::columns(&numbers) + 8).min(WIDEST);
        let plot = plot(&series.points, room);
        let gap = if plot.is_empty() { "" } else { "  " };
        lines.push(format!("  {called:<name$}  {}{gap}{numbers}", style.paint(Role::Good, &plot)));
    }
    for (reading, why) in &sampled.failing {
        lines.push(format!("  {} could not be read the last time: {}", text::clean(reading), text::clean(why)));
    }
    if sampled.failed > 0 && sampled.failing.is_empty() {
        lines.push(format!("  {} failed", text::count(count(sampled.failed), "reading")));
    }
    lines
}

fn count(samples: u64) -> usize {
    usize::try_from(samples).unwrap_or(usize::MAX)
}

fn bounds(points: &[Point]) -> (f64, f64) {
    let min = points.iter().map(|point| point.min).fold(f64::INFINITY, f64::min);
    let max = points.iter().map(|point| point.max).fold(f64::NEG_INFINITY, f64::max);
    (min, max)
}

/// A bar for each column; the greatest of the points that share one.
fn plot(points: &[Point], room: usize) -> String {
    let columns = room.min(points.len());
    if columns < 2 {
        return String::new();
    }
    let (min, max) = bounds(points);
    let bar = |column: usize| {
        let share = &points[column * points.len() / columns..(column + 1) * points.len() / columns];
        let top = share.iter().map(|point| point.max).fold(f64::NEG_INFINITY, f64::max);
        let height = if max > min { (top - min) / (max - min) } else { 0.0 };
        let at = (1..BARS.len()).rev().find(|at| height * 7.0 + 0.5 >= f64::from(u8::try_from(*at).unwrap_or(0))).unwrap_or(0);
        BARS[at]
    };
    (0..columns).map(bar).collect()
}

/// A number with as much of it as people read.
fn number(value: f64) -> String {
    let digits = if value.fract() == 0.0 || value.abs() >= 1000.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        3
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The same for programs.
pub(super) fn samples_json(view: &RunView) -> Value {
    let of = |(step, sampled): &(crate::model::id::StepPath, Sampled)| json!({ "step": step, "samples": sampled.samples, "failed": sampled.failed, "failing": sampled.failing, "series": sampled.series });
    view.sampled.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn sampled(values: &[f64]) -> Sampled {
        let mut sampled = Sampled { samples: values.len() as u64, ..Sampled::default() };
        for (second, value) in (0..).zip(values) {
            sampled.series.entry("cpu".to_owned()).or_default().add(Timestamp::from_second(second * 15).unwrap(), *value);
        }
        sampled
    }

    #[test]
    fn a_series_is_one_line_with_its_peak() {
        let style = Style { width: 80, ..Style::plain(Timestamp::UNIX_EPOCH) };
        let lines = of_monitor("during[samples]", &sampled(&[0.0, 10.0, 91.25, 20.0]), &style);
        assert_eq!(lines, ["during  4 samples over 45s", "  cpu  ▁▂█▃  last 20, min 0, max 91.2"]);
        let one = of_monitor("during[samples]", &sampled(&[0.5]), &style);
        assert_eq!(one, ["during  1 sample", "  cpu  last 0.5, min 0.5, max 0.5"]);
    }

    #[test]
    fn many_points_fit_the_width_and_the_peak_stays() {
        let mut values = vec![1.0; 200];
        values[123] = 50.0;
        for width in [40, 80, 200] {
            let lines = of_monitor("during[samples]", &sampled(&values), &Style { width, ..Style::plain(Timestamp::UNIX_EPOCH) });
            assert!(lines.iter().all(|line| text::columns(line) <= width), "{lines:?}");
            assert!(width < 50 || lines[1].contains('█'), "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let mut sampled = sampled(&[1.0]);
        sampled.failing.insert("queue".to_owned(), "rabbitmq did not answer".to_owned());
        let lines = of_monitor("during[samples]", &sampled, &Style { width: 80, ..Style::plain(Timestamp::UNIX_EPOCH) });
        assert_eq!(lines[2], "  queue could not be read the last time: rabbitmq did not answer");
    }
}
