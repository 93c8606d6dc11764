//! The same request by a person's hands: a line for `curl`.
//!
//! Invariant: where a secret belongs stands the name of an environment variable that the person sets.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::input::Input;
use super::request::Request;
use crate::actions::support::quoted;
use crate::environment::Connections;
use crate::model::by_hand::{ByHand, quoted as word, variable, variables_in};
use crate::model::environment::Way;
use crate::model::run::TargetSpec;

/// The longest body that is written out, in bytes.
const LONGEST: usize = 2048;
/// The port of this machine that a way of a person's own begins at.
const LOCAL: u16 = 18080;

/// How a person opens the way that the environment names for the host, where it does; in a terminal of its own.
pub(super) fn way(request: &Request, connections: &Connections) -> Option<String> {
    let host = request.url.host_str()?;
    let port = request.url.port_or_known_default()?;
    Some(match connections.way_to(host, port)? {
        Way::PortForward { namespace, end, port: of_end } => {
            let end_port = of_end.as_ref().map_or_else(|| port.to_string(), ToString::to_string);
            format!("kubectl port-forward -n {namespace} {end} {LOCAL}:{end_port}  # in another terminal")
        }
        Way::Ssh { user, host: machine, port: of_machine } => {
            let user = user.as_ref().map(|user| format!("-l {user} ")).unwrap_or_default();
            let of_machine = of_machine.map(|port| format!("-p {port} ")).unwrap_or_default();
            format!("ssh -N -L 127.0.0.1:{LOCAL}:{host}:{port} {user}{of_machine}{machine}  # in another terminal")
        }
    })
}

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
    } else if let (Some(host), Some(_)) = (request.url.host_str(), way(request, connections)) {
        let port = request.url.port_or_known_default().unwrap_or(80);
        words.push(format!("--connect-to {host}:{port}:127.0.0.1:{LOCAL}"));
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

/// The line from the inputs alone, in which variables may stand for values.
pub(super) fn of_inputs(inputs: &Value, _: Option<&TargetSpec>) -> ByHand {
    let given = |key: &str| inputs.get(key).filter(|value| !value.is_null());
    let method = given("method").map_or_else(|| "GET".to_owned(), text);
    let read = matches!(method.as_str(), "GET" | "HEAD");
    let mut words = vec!["curl --fail-with-body".to_owned()];
    words.push(if method == "HEAD" { "--head".to_owned() } else { format!("-X {}", word(&method)) });
    if read && given("follow_redirects").is_none_or(|follow| *follow != Value::Bool(false)) {
        words.push("--location".to_owned());
    }
    if let Some(tls) = given("tls") {
        if tls["insecure"] == Value::Bool(true) {
            words.push("--insecure".to_owned());
        }
        if !tls["ca_file"].is_null() {
            words.push(format!("--cacert {}", word(&text(&tls["ca_file"]))));
        }
    }
    // A secret that is not in place is null: whoever types the line sets the variable.
    let secret = |value: &Value, name: &str| if value.is_null() { variable(name) } else { text(value) };
    for (name, value) in entries(given("headers")) {
        words.push(format!("-H {}", word(&format!("{name}: {}", text(value)))));
    }
    for (name, value) in entries(given("secret_headers")) {
        words.push(format!("-H {}", word(&format!("{name}: {}", secret(value, &format!("header_{name}"))))));
    }
    if let Some(bearer) = inputs.get("bearer") {
        words.push(format!("-H {}", word(&format!("Authorization: Bearer {}", secret(bearer, "bearer")))));
    }
    if let Some(basic) = given("basic") {
        words.push(format!("-u {}", word(&format!("{}:{}", text(&basic["username"]), secret(&basic["password"], "basic_password")))));
    }
    if let Some(json) = given("json") {
        words.push(format!("-H 'Content-Type: application/json' --data-raw {}", word(&json.to_string())));
    }
    for (name, value) in entries(given("form")) {
        words.push(format!("--data-urlencode {}", word(&format!("{name}={}", text(value)))));
    }
    if let Some(body) = given("body") {
        let media = given("content_type").map_or_else(|| "text/plain; charset=utf-8".to_owned(), text);
        words.push(format!("-H {} --data-raw {}", word(&format!("Content-Type: {media}")), word(&text(body))));
    }
    let mut url = given("url").map(text).unwrap_or_default();
    for (name, value) in entries(given("query")) {
        let value = text(value);
        // A variable's value cannot be encoded here.
        let value = if variables_in(&value).is_empty() { utf8_percent_encode(&value, NON_ALPHANUMERIC).to_string() } else { value };
        url.push_str(&format!("{}{}={value}", if url.contains('?') { '&' } else { '?' }, utf8_percent_encode(name, NON_ALPHANUMERIC)));
    }
    words.push(word(&url));
    ByHand { act: vec![words.join(" ")], ..ByHand::default() }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn entries(map: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    map.and_then(Value::as_object).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn inputs_alone_make_a_line() {
        let of = |inputs: Value| of_inputs(&inputs, None).act.join("\n");
        let inputs = json!({
            "method": "POST", "url": format!("{}/internal/cache/warm", variable("url")), "bearer": variable("service_token"),
            "json": { "eventId": variable("event") }, "secret_headers": { "X-Key": null }, "headers": { "X-A": "b c" },
        });
        let wanted = "curl --fail-with-body -X POST -H 'X-A: b c' -H 'X-Key: '\"${HEADER_X_KEY}\" \
                      -H 'Authorization: Bearer '\"${SERVICE_TOKEN}\" -H 'Content-Type: application/json' \
                      --data-raw '{\"eventId\":\"'\"${EVENT}\"'\"}' \"${URL}\"/internal/cache/warm";
        assert_eq!(of(inputs), wanted);
        let inputs =
            json!({ "url": "https://x.example/a?b=1", "query": { "c d": "e&f", "g": variable("g") }, "tls": { "insecure": true } });
        assert_eq!(of(inputs), "curl --fail-with-body -X GET --location --insecure 'https://x.example/a?b=1&c%20d=e%26f&g='\"${G}\"");
        let inputs = json!({ "method": "PUT", "url": "http://x", "basic": { "username": "u", "password": null }, "form": { "a": 1 } });
        assert_eq!(of(inputs), "curl --fail-with-body -X PUT -u u:\"${BASIC_PASSWORD}\" --data-urlencode a=1 http://x");
    }
}
