//! Medians, processor time, peak memory, and how a figure is printed beside the one that is wanted.
//!
//! Must not measure anything by itself: parts do. Invariant: a line says `met` or `missed` only where a figure is wanted.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long one part goes on with more of the same, where a slow disk makes each run long: it then has fewer blocks, and says so.
pub const ENOUGH: Duration = Duration::from_secs(20);

/// Whatever ends a part early.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// Exactly this, to the digit printed.
    Exactly(f64),
    /// Nothing: it is printed for what it says.
    Nothing,
}

impl Wanted {
    fn verdict(self, found: f64) -> String {
        let met = |met: bool| if met { "met" } else { "MISSED" };
        match self {
            Self::AtLeast(limit) => format!(">= {limit}: {}", met(found >= limit)),
            Self::AtMost(limit) => format!("<= {limit}: {}", met(found <= limit)),
            Self::Exactly(limit) => format!("= {limit}: {}", met((found - limit).abs() < 0.005)),
            Self::Nothing => String::new(),
        }
    }
}

/// Prints the heading of a part.
pub fn heading(text: &str) {
    say(&format!("\n{text}"));
}

/// Prints one figure.
pub fn figure(what: &str, found: f64, unit: &str, wanted: Wanted) {
    let shown = if found >= 100.0 { format!("{found:.0}") } else { format!("{found:.2}") };
    say(format!("  {what:<66} {shown:>9} {unit:<9} {}", wanted.verdict(found)).trim_end());
}

/// Prints a line.
#[expect(clippy::print_stdout, reason = "the figures are what this bench is for")]
pub fn say(line: &str) {
    println!("{line}");
}

/// The middle one; 0 where there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Microseconds.
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The processor time that all threads of this process have used.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The most memory that this process ever held, in MB (2^20 bytes): `VmHWM` of `proc(5)`.
pub fn peak_memory() -> Result<f64, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("the kernel tells no VmHWM")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1024.0)
}
