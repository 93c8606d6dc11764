//! The sandbox as commands control it: each call is answered when it is done.
//!
//! Must not: know where the sandbox is but by its folder.

use std::path::Path;
use std::time::Duration;

use super::AppError;
use crate::sandbox::{Options, SandboxError};

/// Serves the sandbox of a folder in this process until it is told to stop, or nobody used it for `idle`. `speed`: by how much Pods come and go
/// faster than usual.
///
/// # Errors
/// [`AppError::Sandbox`]
pub fn serve(dir: &Path, port: Option<u16>, speed: f64, idle: Duration) -> Result<(), AppError> {
    let options = Options { port, speed, idle, ..Options::default() };
    on_runtime(crate::sandbox::serve(dir, options))
}

fn on_runtime<T>(call: impl Future<Output = Result<T, SandboxError>>) -> Result<T, AppError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| AppError::System { what: "no threads for input and output".to_owned(), why: error.to_string() })?;
    Ok(runtime.block_on(call)?)
}
