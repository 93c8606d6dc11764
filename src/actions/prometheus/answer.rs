//! What a query gave: scalar, string, vector or matrix, as outputs.
//!
//! Must not ask anything. Invariant: `value` is a finite number, and there only where the answer is one; why it is not is said.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// How many series are told, and how many points of each: the last ones.
const SERIES: usize = 100;
const POINTS: usize = 600;

/// An answer of another shape, in words.
#[derive(Debug, PartialEq)]
pub(super) struct Garbled(pub(super) &'static str);

/// A sample: when, and what, as the server writes it (`1`, `NaN`, `+Inf`).
struct Sample {
    at: f64,
    text: String,
}

impl Sample {
    fn of(value: &Value) -> Option<Self> {
        match value.as_array()?.as_slice() {
            [at, Value::String(text)] => Some(Self { at: at.as_f64()?, text: text.clone() }),
            _ => None,
        }
    }

    /// Its number; `None` for NaN and infinity, which JSON does not know.
    fn number(&self) -> Option<f64> {
        self.text.parse::<f64>().ok().filter(|number| number.is_finite())
    }

    fn time(&self) -> Option<String> {
        // Prometheus's times have milliseconds.
        Timestamp::from_millisecond((self.at * 1000.0).round() as i64).ok().map(|time| time.to_string())
    }
}

/// One series with its latest sample, and all of them where a range was asked for.
struct Series {
    labels: Map<String, Value>,
    latest: Option<Sample>,
    points: Vec<Sample>,
}

/// What a query gave.
pub(super) struct Answer {
    kind: String,
    series: Vec<Series>,
    text: Option<String>,
    warnings: Vec<String>,
}

impl Answer {
    /// From the answer's body.
    pub(super) fn of(body: &Value) -> Result<Self, Garbled> {
        if body.get("status").and_then(Value::as_str) != Some("success") {
            return Err(Garbled("its status is not `success`"));
        }
        let data = body.get("data").ok_or(Garbled("there is no `data` in it"))?;
        let kind = data.get("resultType").and_then(Value::as_str).ok_or(Garbled("it names no `resultType`"))?.to_owned();
        let result = data.get("result").ok_or(Garbled("there is no `result` in it"))?;
        let texts = |key: &str| {
            let texts = body.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        let mut answer = Self { kind, series: Vec::new(), text: None, warnings: [texts("warnings"), texts("infos")].concat() };
        match answer.kind.as_str() {
            "scalar" => {
                let sample = Sample::of(result).ok_or(Garbled("its scalar is no sample"))?;
                answer.series.push(Series { labels: Map::new(), latest: Some(sample), points: Vec::new() });
            }
            "string" => answer.text = Some(Sample::of(result).ok_or(Garbled("its string is no sample"))?.text),
            "vector" | "matrix" => {
                let all = result.as_array().ok_or(Garbled("its result is no list"))?;
                answer.series = all.iter().map(series).collect::<Option<_>>().ok_or(Garbled("one of its series has no sample"))?;
            }
            _ => return Err(Garbled("its `resultType` is none that is known")),
        }
        Ok(answer)
    }

    /// The one sample, where there is exactly one series.
    fn only(&self) -> Option<&Sample> {
        match self.series.as_slice() {
            [only] if self.kind != "matrix" => only.latest.as_ref(),
            _ => None,
        }
    }

    /// Why there is no one number; `None` where there is.
    fn says(&self) -> Option<String> {
        if let Some(sample) = self.only() {
            return sample.number().is_none().then(|| match sample.text.as_str() {
                "NaN" => "the result is NaN: no number (0 divided by 0, or no sample in the range)".to_owned(),
                text => format!("the result is {text}: no number that can be told"),
            });
        }
        Some(match (self.kind.as_str(), self.series.as_slice()) {
            ("string", _) => "the result is a text, not a number".to_owned(),
            (_, []) => "the query has an empty result: no series matches it (`… or vector(0)` makes it a 0)".to_owned(),
            ("matrix", all) => format!("the result is a range of {} series, not one number", all.len()),
            (_, [_]) => "the result is a native histogram, not a number".to_owned(),
            (_, all) => format!("the result has {} series, not one (`sum(…)` makes it one)", all.len()),
        })
    }

    /// In one line.
    pub(super) fn summary(&self) -> String {
        let mut summary = match self.only().and_then(Sample::number) {
            Some(number) => number.to_string(),
            None => self.says().unwrap_or_default(),
        };
        if !self.warnings.is_empty() {
            summary.push_str(&format!("; the server warns: {}", self.warnings.join("; ")));
        }
        summary
    }

    /// The action's outputs.
    pub(super) fn outputs(&self) -> Value {
        let point = |sample: &Sample| json!([sample.time(), sample.number()]);
        let shown = |series: &Series| {
            let mut shown = json!({
                "labels": series.labels,
                "value": series.latest.as_ref().and_then(Sample::number),
                "text": series.latest.as_ref().map(|sample| &sample.text),
            });
            if self.kind == "matrix" {
                let skipped = series.points.len().saturating_sub(POINTS);
                shown["points"] = series.points.iter().skip(skipped).map(point).collect();
            }
            shown
        };
        let at = self.series.iter().filter_map(|series| series.latest.as_ref()).filter_map(Sample::time).next();
        json!({
            "value": self.only().and_then(Sample::number),
            "type": self.kind,
            "count": self.series.len(),
            "series": self.series.iter().take(SERIES).map(shown).collect::<Vec<_>>(),
            "text": self.text.as_ref().or_else(|| self.only().map(|sample| &sample.text)),
            "says": self.says(),
            "warnings": self.warnings,
            "at": at,
            "summary": self.summary(),
        })
    }
}

fn series(value: &Value) -> Option<Series> {
    let labels = value.get("metric")?.as_object()?.clone();
    if let Some(points) = value.get("values") {
        let points: Vec<Sample> = points.as_array()?.iter().map(Sample::of).collect::<Option<_>>()?;
        let latest = points.last().map(|last| Sample { at: last.at, text: last.text.clone() });
        return Some(Series { labels, latest, points });
    }
    match value.get("value") {
        Some(sample) => Some(Series { labels, latest: Some(Sample::of(sample)?), points: Vec::new() }),
        None => {
            value.get("histogram").or_else(|| value.get("histograms"))?;
            Some(Series { labels, latest: None, points: Vec::new() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: &str, result: Value) -> Value {
        Answer::of(&json!({ "status": "success", "data": { "resultType": kind, "result": result } })).unwrap().outputs()
    }

    #[test]
    fn one_number_is_a_value() {
        for (kind, result) in
            [("scalar", json!([1_796_070_980.242, "0.5"])), ("vector", json!([{ "metric": {}, "value": [1_796_070_980.242, "0.5"] }]))]
        {
            let told = told(kind, result);
            assert_eq!((&told["value"], &told["says"], &told["count"]), (&json!(0.5), &Value::Null, &json!(1)), "{kind}");
            assert_eq!((&told["at"], &told["summary"]), (&json!("2026-11-30T20:36:20.242Z"), &json!("0.5")));
        }
    }

    #[test]
    fn what_is_not_one_number_is_said() {
        let two = json!([{ "metric": { "a": "1" }, "value": [1, "2"] }, { "metric": { "a": "2" }, "value": [1, "3"] }]);
        for (kind, result, says) in [
            ("vector", json!([]), "empty result"),
            ("vector", json!([{ "metric": {}, "value": [1, "NaN"] }]), "NaN"),
            ("scalar", json!([1, "+Inf"]), "+Inf"),
            ("vector", two.clone(), "2 series, not one"),
            ("string", json!([1, "x"]), "a text"),
            ("matrix", json!([{ "metric": {}, "values": [[1, "2"], [2, "3"]] }]), "a range of 1 series"),
            ("vector", json!([{ "metric": {}, "histogram": [1, {}] }]), "native histogram"),
        ] {
            let told = told(kind, result);
            assert_eq!(told["value"], Value::Null, "{kind}");
            assert!(told["says"].as_str().unwrap().contains(says), "{told:#}");
        }
        assert_eq!(told("vector", two)["series"][1], json!({ "labels": { "a": "2" }, "value": 3.0, "text": "3" }));
        let range = told("matrix", json!([{ "metric": {}, "values": [[1, "2"], [2, "NaN"]] }]));
        let points = json!([["1970-01-01T00:00:01Z", 2.0], ["1970-01-01T00:00:02Z", null]]);
        assert_eq!(range["series"][0]["points"], points);
    }

    #[test]
    fn a_warning_is_told() {
        let body = json!({ "status": "success", "warnings": ["a store is down"], "data": { "resultType": "scalar", "result": [1, "1"] } });
        let told = Answer::of(&body).unwrap().outputs();
        assert_eq!((&told["warnings"], &told["summary"]), (&json!(["a store is down"]), &json!("1; the server warns: a store is down")));
    }

    #[test]
    fn another_shape_is_no_answer() {
        for body in [
            json!({}),
            json!({ "status": "success" }),
            json!({ "status": "success", "data": { "resultType": "vector", "result": {} } }),
            json!({ "status": "success", "data": { "resultType": "vector", "result": [{ "metric": {}, "value": [1, 2] }] } }),
            json!({ "status": "success", "data": { "resultType": "table", "result": [] } }),
        ] {
            assert!(Answer::of(&body).is_err(), "{body}");
        }
    }
}
