//! What leads a person's programs to the sandbox: functions of a shell that stand before the programs of the same names.
//!
//! Must not: be written anywhere but where it was asked for; it holds the sandbox's own tokens, as its kubeconfig does.

use super::{App, AppError};
use crate::sandbox::{self, Ready};

impl App {
    /// The functions, for `eval` in bash or zsh. Starts the sandbox where it does not run.
    ///
    /// # Errors
    /// [`AppError::Sandbox`]
    pub fn sandbox_shell(&self) -> Result<String, AppError> {
        let exe = std::env::current_exe()
            .map_err(|error| AppError::System { what: "this program's own file cannot be found".to_owned(), why: error.to_string() })?;
        let ready = self.runtime()?.block_on(sandbox::ensure_up(&self.locations.sandbox(), &exe))?;
        Ok(shell(&ready))
    }
}

/// Every system of the sandbox is at one address, which tells them apart by the name that a request is for: the programs are asked for the names that the
/// playbooks have, and led there.
fn shell(ready: &Ready) -> String {
    let (host, port) = (ready.address.ip(), ready.address.port());
    let (password, token, key) = (&ready.postgres_password, &ready.service_token, sandbox::AWS_ACCESS_KEY);
    format!(
        "\
# the sandbox at {host}:{port}, in this shell: psql, curl, redis-cli and aws ask it, whatever host they are told
psql() {{ PGHOSTADDR={host} PGPASSWORD={password} command psql \"$@\" -p {port}; }}
curl() {{ command curl --proxy http://{host}:{port} \"$@\" --config <(printf 'user = \"runsheet:%s\"\\n' {password}); }}
redis-cli() {{ [ \"$1\" = -h ] && shift 2; [ \"$1\" = -p ] && shift 2; [ \"$1\" = --askpass ] && shift; REDISCLI_AUTH={password} command redis-cli -h {host} -p {port} \"$@\"; }}
aws() {{ http_proxy=http://{host}:{port} AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={password} command aws --endpoint-url \"http://$1.{region}.amazonaws.com\" \"$@\"; }}
SERVICE_TOKEN={token}",
        region = sandbox::AWS_REGION,
    )
}
