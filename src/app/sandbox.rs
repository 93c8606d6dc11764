//! The sandbox as commands control it: each call is answered when it is done.
//!
//! Must not: know where the sandbox is but by its folder.

use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{App, AppError};
pub use crate::sandbox::fault::{Standing, USAGE};
use crate::sandbox::{self, Options, fault, load};
pub use crate::sandbox::{Account, ArgoCd, Autoscaler, Effect, Fault, Kubeconfig, Pooler, SandboxError, Status, Usage};

/// Serves the sandbox of a folder in this process until it is told to stop, or nobody used it for `idle`. `speed`: by how much Pods come and go
/// faster than usual; `autoscaler`, `argocd`, `pooler`: those of a platform that is made now.
///
/// # Errors
/// [`AppError::Sandbox`]
pub fn serve(
    dir: &Path,
    port: Option<u16>,
    speed: f64,
    idle: Duration,
    autoscaler: Autoscaler,
    argocd: ArgoCd,
    pooler: Pooler,
) -> Result<(), AppError> {
    let options = Options { port, speed, idle, autoscaler, argocd, pooler, ..Options::default() };
    on_runtime(sandbox::serve(dir, options))
}

fn on_runtime<T>(call: impl Future<Output = Result<T, SandboxError>>) -> Result<T, AppError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| AppError::System { what: "no threads for input and output".to_owned(), why: error.to_string() })?;
    Ok(runtime.block_on(call)?)
}

/// A sandbox's process that was just started may take this long to answer.
const START_WITHIN: Duration = Duration::from_secs(10);

impl App {
    /// Starts the sandbox where it does not run, and says how it is. `speed` is only for one that is started now, `autoscaler`, `argocd` and `pooler` for a
    /// platform that is made now.
    ///
    /// # Errors
    /// [`AppError::Sandbox`]; [`AppError::Refused`] when one runs already, at whatever speed, or the platform that there is has another autoscaler, Argo CD or
    /// pooler.
    pub fn sandbox_up(
        &self,
        speed: Option<f64>,
        autoscaler: Option<Autoscaler>,
        argocd: Option<ArgoCd>,
        pooler: Option<Pooler>,
    ) -> Result<Status, AppError> {
        let folder = self.locations.sandbox();
        let exe = std::env::current_exe()
            .map_err(|error| AppError::System { what: "this program's own file cannot be found".to_owned(), why: error.to_string() })?;
        let runtime = self.runtime()?;
        if let Some(speed) = speed
            && !(0.01..=1000.0).contains(&speed)
        {
            return Err(SandboxError::Option(format!("a speed of {speed}: it must be from 0.01 to 1000")).into());
        }
        if speed.is_some() || autoscaler.is_some() || argocd.is_some() || pooler.is_some() {
            if speed.is_some() && runtime.block_on(sandbox::status(&folder))?.live.is_some() {
                let why = "a sandbox runs already: end it with `runsheet sandbox down` to start one at another speed";
                return Err(AppError::Refused { why: why.to_owned() });
            }
            if runtime.block_on(sandbox::status(&folder))?.live.is_none() {
                self.start_with(&exe, speed, autoscaler, argocd, pooler)?;
            }
        }
        runtime.block_on(sandbox::ensure_up(&folder, &exe))?;
        let status = runtime.block_on(sandbox::status(&folder))?;
        let has = status.live.as_ref().map(|live| live.overview.autoscaler);
        if let (Some(wanted), Some(has)) = (autoscaler, has)
            && wanted != has
        {
            let why = format!(
                "the sandbox's cluster is there already, and was made with the autoscaler `{has}`: `runsheet sandbox reset --autoscaler {wanted}` makes it anew"
            );
            return Err(AppError::Refused { why });
        }
        let has = status.live.as_ref().map(|live| live.overview.argocd);
        if let (Some(wanted), Some(has)) = (argocd, has)
            && wanted != has
        {
            let why = format!(
                "the sandbox's cluster is there already, and was made with Argo CD `{has}`: `runsheet sandbox reset --argocd {wanted}` makes it anew"
            );
            return Err(AppError::Refused { why });
        }
        let has = status.live.as_ref().map(|live| live.overview.pooler);
        if let (Some(wanted), Some(has)) = (pooler, has)
            && wanted != has
        {
            let why = format!(
                "the sandbox is there already, and was made with the pooler `{has}`: `runsheet sandbox reset --pooler {wanted}` makes it anew"
            );
            return Err(AppError::Refused { why });
        }
        Ok(status)
    }

    /// Starts one with these, and waits until it answers.
    fn start_with(
        &self,
        exe: &Path,
        speed: Option<f64>,
        autoscaler: Option<Autoscaler>,
        argocd: Option<ArgoCd>,
        pooler: Option<Pooler>,
    ) -> Result<(), AppError> {
        let folder = self.locations.sandbox();
        let failed = |why: String| AppError::System { what: "the sandbox cannot be started".to_owned(), why };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| failed(error.to_string()))?;
        let mut child = std::process::Command::new(exe)
            .args(["sandbox", "serve", "--dir"])
            .arg(&folder)
            .args(speed.iter().flat_map(|speed| ["--speed".to_owned(), speed.to_string()]))
            .args(autoscaler.iter().flat_map(|autoscaler| ["--autoscaler".to_owned(), autoscaler.to_string()]))
            .args(argocd.iter().flat_map(|argocd| ["--argocd".to_owned(), argocd.to_string()]))
            .args(pooler.iter().flat_map(|pooler| ["--pooler".to_owned(), pooler.to_string()]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let until = Instant::now() + START_WITHIN;
        while self.runtime()?.block_on(sandbox::status(&folder))?.live.is_none() {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(failed(format!("it ended at once ({status})")));
            }
            if Instant::now() >= until {
                // It never answered, and nobody is to be surprised by it later.
                let _ = child.kill().and_then(|()| child.wait());
                return Err(failed(format!("it did not answer within {} s", START_WITHIN.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends the sandbox; false: none ran.
    ///
    /// # Errors
    /// [`AppError::Sandbox`]
    pub fn sandbox_down(&self) -> Result<bool, AppError> {
        Ok(self.runtime()?.block_on(sandbox::down(&self.locations.sandbox()))?)
    }

    /// How the sandbox is.
    ///
    /// # Errors
    /// [`AppError::Sandbox`]
    pub fn sandbox_status(&self) -> Result<Status, AppError> {
        Ok(self.runtime()?.block_on(sandbox::status(&self.locations.sandbox()))?)
    }

    /// The kubeconfig of an account of the running sandbox.
    ///
    /// # Errors
    /// [`AppError::Sandbox`]
    pub fn sandbox_kubeconfig(&self, account: Account) -> Result<Kubeconfig, AppError> {
        Ok(self.runtime()?.block_on(sandbox::kubeconfig(&self.locations.sandbox(), account))?)
    }

    /// Puts the sandbox back to how it was at first; with another autoscaler, Argo CD or pooler where one is named.
    ///
    /// # Errors
    /// [`AppError::Sandbox`]
    pub fn sandbox_reset(&self, autoscaler: Option<Autoscaler>, argocd: Option<ArgoCd>, pooler: Option<Pooler>) -> Result<(), AppError> {
        Ok(self.runtime()?.block_on(sandbox::reset_to(&self.locations.sandbox(), autoscaler, argocd, pooler))?)
    }

    /// Sets the requests a second that reach the sandbox's ticket service.
    ///
    /// # Errors
    /// [`AppError::Sandbox`]
    pub fn sandbox_load(&self, rps: f64) -> Result<(), AppError> {
        Ok(self.runtime()?.block_on(load::set(&self.locations.sandbox(), rps))?)
    }

    /// What requests changed in the sandbox, whether it runs or not.
    ///
    /// # Errors
    /// [`AppError::Sandbox`]
    pub fn sandbox_effects(&self) -> Result<Vec<Effect>, AppError> {
        Ok(sandbox::effects(&self.locations.sandbox())?)
    }

    /// Whether there is a Deployment of this name.
    ///
    /// # Errors
    /// [`AppError::Sandbox`]
    pub fn sandbox_has_deployment(&self, name: &str) -> Result<bool, AppError> {
        let live = self.sandbox_status()?.live;
        let named = |line: &String| line.split_whitespace().next().and_then(|object| object.rsplit('/').next()) == Some(name);
        Ok(live.is_none_or(|live| live.overview.deployments.iter().any(named)))
    }

    /// Adds a fault; `None` for a change, which is done at once.
    ///
    /// # Errors
    /// [`AppError::Sandbox`]
    pub fn sandbox_fault(&self, fault: &Fault) -> Result<Option<Standing>, AppError> {
        Ok(self.runtime()?.block_on(fault::add(&self.locations.sandbox(), fault))?)
    }

    /// The faults that stand.
    ///
    /// # Errors
    /// [`AppError::Sandbox`]
    pub fn sandbox_faults(&self) -> Result<Vec<Standing>, AppError> {
        Ok(self.runtime()?.block_on(fault::list(&self.locations.sandbox()))?)
    }

    /// Ends all faults; how many there were.
    ///
    /// # Errors
    /// [`AppError::Sandbox`]
    pub fn sandbox_clear_faults(&self) -> Result<usize, AppError> {
        Ok(self.runtime()?.block_on(fault::clear(&self.locations.sandbox()))?)
    }
}
