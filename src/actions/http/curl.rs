//! The same request by a person's hands: a line for `curl`.
//!
//! Invariant: where a secret belongs stands the name of an environment variable that the person sets.

use super::input::Input;
use super::request::Request;
use crate::actions::support::quoted;
use crate::environment::Connections;

/// The longest body that is written out, in bytes.
const LONGEST: usize = 2048;

/// The line.
pub(super) fn line(input: &Input, request: &Request, connections: &Connections) -> String {
    let mut words = vec!["curl --fail-with-body".to_owned(), format!("-X {}", request.method.as_http())];
    if request.method.as_http() == http::Method::HEAD {
        words[1] = "--head".to_owned();
    }
    words.push(format!("--max-time {}", request.timeout.as_secs().max(1)));
    if let Some(host) = request.url.host_str()
        && let Some(address) = connections.address_of(host)
    {
        let port = request.url.port_or_known_default().unwrap_or(80);
        words.push(format!("--connect-to {host}:{port}:{address}"));
    }
    if request.options.follow_redirects {
        words.push("--location".to_owned());
    }
    if request.options.insecure {
        words.push("--insecure".to_owned());
    }
    if let Some(file) = &request.options.ca_file {
        words.push(format!("--cacert {}", quoted(&file.display().to_string())));
    }
    for (name, value) in &request.headers {
        if !value.is_sensitive() {
            words.push(format!("-H {}", quoted(&format!("{name}: {}", value.to_str().unwrap_or_default()))));
        }
    }
    for name in input.secret_headers.keys() {
        let variable = format!("HEADER_{}", name.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        words.push(format!("-H {}\"${variable}\"", quoted(&format!("{name}: "))));
    }
    if input.bearer.is_some() {
        words.push("-H \"Authorization: Bearer $BEARER\"".to_owned());
    }
    if let Some(basic) = &input.basic {
        words.push(format!("-u {}\"$BASIC_PASSWORD\"", quoted(&format!("{}:", basic.username))));
    }
    if let Some(body) = &request.body {
        words.push(match std::str::from_utf8(body) {
            Ok(text) if text.len() <= LONGEST => format!("--data-raw {}", quoted(text)),
            _ => "--data-binary @BODY_FILE".to_owned(),
        });
    }
    words.push(quoted(request.url.as_str()));
    words.join(" ")
}
