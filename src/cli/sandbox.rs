//! `sandbox`: the simulated platform as a process.

use std::path::PathBuf;
use std::time::Duration;

use super::context::Context;
use super::exit_code;
use super::failure::Failure;

/// The commands of `sandbox`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve it in this process
    #[command(hide = true)]
    Serve {
        /// Its folder
        #[arg(long)]
        dir: PathBuf,
        /// The port [default: the former one, else a free one]
        #[arg(long)]
        port: Option<u16>,
        /// By how much Pods come and go faster than usual
        #[arg(long, default_value_t = 1.0)]
        speed: f64,
        /// Seconds without a request after which it ends
        #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
        idle: u64,
    },
}

/// Controls the sandbox.
///
/// # Errors
/// When it cannot be reached or does not do what it is told.
pub fn run(_cx: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Serve { dir, port, speed, idle } => {
            crate::app::sandbox::serve(&dir, port, speed, Duration::from_secs(idle))?;
            Ok(exit_code::SUCCEEDED)
        }
    }
}
