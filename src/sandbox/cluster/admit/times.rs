//! Times that the API keeps to the microsecond: exactly six digits after the second, as its own clients write them.
//!
//! It must not look at times of whole seconds. Invariant: what passes here a client of the real API server could have sent to it.

use serde_json::Value;

use crate::sandbox::cluster::resource::Resource;

/// The form of such a time, as errors show it.
const FORM: &str = "2006-01-02T15:04:05.000000Z07:00";
/// How long a time is up to its second.
const SECONDS: usize = "2006-01-02T15:04:05".len();

/// Checks the times of an object that was sent.
///
/// # Errors
/// What is wrong with the first wrong one, in the API server's words.
pub(crate) fn check(resource: Resource, sent: &Value) -> Result<(), String> {
    if resource != Resource::Leases {
        return Ok(());
    }
    ["acquireTime", "renewTime"].into_iter().filter_map(|field| sent["spec"][field].as_str()).try_for_each(micro)
}

fn micro(text: &str) -> Result<(), String> {
    let refuse = |rest: &str, wanted: &str| Err(format!("parsing time \"{text}\" as \"{FORM}\": cannot parse \"{rest}\" as \"{wanted}\""));
    let Some((second, rest)) = text.split_at_checked(SECONDS).filter(|(second, _)| second.parse::<jiff::civil::DateTime>().is_ok()) else {
        return refuse(text, "2006");
    };
    let zone =
        rest.strip_prefix('.').and_then(|rest| rest.split_at_checked(6)).filter(|(digits, _)| digits.bytes().all(|b| b.is_ascii_digit()));
    match zone {
        None => refuse(rest, ".000000"),
        Some((_, zone)) if format!("{second}{zone}").parse::<jiff::Timestamp>().is_err() => refuse(zone, "Z07:00"),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lease_is_renewed_to_the_microsecond() {
        let check = |time: &str| check(Resource::Leases, &json!({ "spec": { "renewTime": time } }));
        for good in ["2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.123456+02:00"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (wrong, rest) in [
            ("2026-01-01T00:00:00Z", "cannot parse \"Z\" as \".000000\""),
            ("2026-01-01T00:00:00.123Z", "cannot parse \".123Z\" as \".000000\""),
            ("2026-01-01T00:00:00.1234567Z", "cannot parse \"7Z\" as \"Z07:00\""),
            ("yesterday", "cannot parse \"yesterday\" as \"2006\""),
        ] {
            assert!(check(wrong).is_err_and(|error| error.ends_with(rest)), "{wrong}");
        }
    }
}
