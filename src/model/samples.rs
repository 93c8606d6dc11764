//! The numbers that a monitor keeps: bounded, the older ones together.
//!
//! Invariant: a series never has more points than [`POINTS`]; when one more comes, each two become one, with the least, the greatest and the last of both.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many points a series keeps.
pub const POINTS: usize = 240;

/// What a monitor has seen so far, over every process that sampled for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// How often it sampled.
    pub samples: u64,
    /// How often a reading failed.
    pub failed: u64,
    /// Readings that failed the last time, and why.
    pub failing: BTreeMap<String, String>,
    /// The numbers, by name.
    pub series: BTreeMap<String, Series>,
}

/// One number over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// How many samples a full point stands for.
    pub each: u64,
    /// The points, the oldest first.
    pub points: Vec<Point>,
}

/// One or more samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When the first of them was taken.
    pub at: Timestamp,
    /// The least of them.
    pub min: f64,
    /// The greatest of them.
    pub max: f64,
    /// The last of them.
    pub last: f64,
    /// How many they are.
    pub count: u64,
}

impl Point {
    fn with(self, next: Self) -> Self {
        Self { at: self.at, min: self.min.min(next.min), max: self.max.max(next.max), last: next.last, count: self.count + next.count }
    }
}

impl Series {
    /// Adds a sample.
    pub fn add(&mut self, at: Timestamp, value: f64) {
        self.each = self.each.max(1);
        let point = Point { at, min: value, max: value, last: value, count: 1 };
        match self.points.last_mut() {
            Some(last) if last.count < self.each => *last = last.with(point),
            _ => self.points.push(point),
        }
        if self.points.len() > POINTS {
            self.points = self.points.chunks(2).map(|pair| pair.iter().skip(1).fold(pair[0], |sum, next| sum.with(*next))).collect();
            self.each *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_bounded_and_loses_no_extreme() {
        let mut series = Series::default();
        for second in 0..10_000_i64 {
            let value = if second == 777 {
                -5.0
            } else if second == 8_888 {
                99.0
            } else {
                1.0
            };
            series.add(Timestamp::from_second(second).unwrap(), value);
            assert!(series.points.len() <= POINTS);
        }
        assert_eq!(series.points.iter().map(|point| point.count).sum::<u64>(), 10_000);
        assert_eq!(series.points.iter().map(|point| point.min).fold(f64::MAX, f64::min), -5.0);
        assert_eq!(series.points.iter().map(|point| point.max).fold(f64::MIN, f64::max), 99.0);
        assert!(series.points.windows(2).all(|pair| pair[0].at < pair[1].at));
        assert_eq!((series.points[0].at.as_second(), series.each), (0, 64));
    }
}
