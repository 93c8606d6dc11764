//! The one message that the sandbox reads as protobuf: the review by which `kubectl auth can-i` asks, which it sends in no other form.
//!
//! It must not know accounts. Invariant: what is cut short or of another form is read as nothing, never in part.

use serde_json::{Map, Value, json};

/// The media type of Kubernetes' protobuf.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// How each message begins.
const MAGIC: &[u8] = b"k8s\0";

/// The members of `spec.resourceAttributes` and of `spec.nonResourceAttributes`, by their numbers from 1.
const RESOURCE: [&str; 7] = ["namespace", "verb", "group", "version", "resource", "subresource", "name"];
const NON_RESOURCE: [&str; 2] = ["path", "verb"];

/// A SelfSubjectAccessReview as JSON; none for anything else.
pub(crate) fn access_review(body: &[u8]) -> Option<Value> {
    // The envelope holds the object as its field 2, and the review its `spec` as its own.
    let object = field(body.strip_prefix(MAGIC)?, 2)?;
    let spec = field(object, 2)?;
    let mut found = json!({ "spec": {} });
    for (number, member, names) in [(1, "resourceAttributes", RESOURCE.as_slice()), (2, "nonResourceAttributes", &NON_RESOURCE)] {
        if let Some(part) = field(spec, number) {
            found["spec"][member] = Value::Object(texts(part, names)?);
        }
    }
    Some(found)
}

fn texts(message: &[u8], names: &[&str]) -> Option<Map<String, Value>> {
    let mut members = Map::new();
    for (number, content) in fields(message)? {
        let name = usize::try_from(number).ok().and_then(|number| names.get(number.checked_sub(1)?));
        if let Some(name) = name.filter(|_| !content.is_empty()) {
            members.insert((*name).to_owned(), json!(std::str::from_utf8(content).ok()?));
        }
    }
    Some(members)
}

fn field(message: &[u8], wanted: u64) -> Option<&[u8]> {
    fields(message)?.into_iter().find_map(|(number, content)| (number == wanted).then_some(content))
}

/// The fields of a message that are texts or messages; numbers are passed over.
fn fields(mut rest: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        match key & 7 {
            0 => drop(varint(&mut rest)?),
            1 => rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                found.push((key >> 3, rest.get(..length)?));
                rest = rest.get(length..)?;
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(found)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for nth in 0..10 {
        let (first, left) = rest.split_first()?;
        *rest = left;
        value |= u64::from(first & 0x7f).checked_shl(7 * nth)?;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
    }

    #[test]
    fn a_review_is_read_whole_or_not_at_all() {
        let attributes = [message(1, b"production"), message(2, b"patch"), message(3, b"apps"), message(5, b"deployments")].concat();
        let review = [message(1, b""), message(2, &message(1, &attributes)), message(3, &[1 << 3, 0])].concat();
        let body = [MAGIC, &message(1, b""), &message(2, &review)].concat();
        let expected = json!({ "namespace": "production", "verb": "patch", "group": "apps", "resource": "deployments" });
        assert_eq!(access_review(&body), Some(json!({ "spec": { "resourceAttributes": expected } })));
        for length in 0..body.len() {
            assert_eq!(access_review(&body[..length]), None, "{length}");
        }
        assert_eq!(access_review(&[MAGIC, &[0xff; 40]].concat()), None);
    }
}
