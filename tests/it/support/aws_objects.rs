//! What is in the sandbox's account, as its APIs show it: replication groups, their members, and DB instances.
//!
//! It must not change anything. Invariant: every field that the account tells is compared, statuses too: nothing may be on its way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Stage;
use super::objects::Objects;

/// What is asked: the service, the request, the element of each object, and the field with its name.
const ASKED: [(&str, &str, &str, &str); 3] = [
    ("elasticache", "DescribeReplicationGroups", "ReplicationGroup", "ReplicationGroupId"),
    ("elasticache", "DescribeCacheClusters", "CacheCluster", "CacheClusterId"),
    ("rds", "DescribeDBInstances", "DBInstance", "DBInstanceIdentifier"),
];

/// Everything in the account by its name: `aws/rds/ticket-db`.
pub fn aws_objects(stage: &Stage) -> Objects {
    let mut found = Objects::new();
    for (service, action, element, name) in ASKED {
        let answer = asked(stage, service, action);
        for object in elements(&answer, element) {
            let object = parsed(object);
            let name = object[name].as_str().unwrap_or_else(|| panic!("{action}: {answer}")).to_owned();
            found.insert(format!("aws/{service}/{name}"), object);
        }
    }
    assert!(found.contains_key("aws/rds/ticket-db") && found.contains_key("aws/elasticache/ticket-redis"), "{found:?}");
    found
}

fn asked(stage: &Stage, service: &str, action: &str) -> String {
    let text = std::fs::read_to_string(stage.sandbox_folder().join("ready.json")).expect("the sandbox runs");
    let ready: Value = serde_json::from_str(&text).expect("the sandbox says where it is");
    let mut stream = TcpStream::connect(ready["address"].as_str().expect("an address")).expect("the sandbox listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    let body = format!("Action={action}&Version=2015-02-02");
    let scope = format!("SANDBOXACCESSKEY0000/20260101/eu-central-1/{service}/aws4_request");
    write!(
        stream,
        "POST / HTTP/1.0\r\nHost: {service}.eu-central-1.amazonaws.com\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00\r\n\r\n{body}",
        body.len()
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains(" 200 "), "{action}: {answer}");
    answer
}

/// The insides of all elements of this name.
fn elements<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    text.split(&open).skip(1).filter_map(|rest| rest.split_once(&close)).map(|(inside, _)| inside).collect()
}

/// The inside of an element: a text, or a map of what stands within, in which what is there several times is a list.
fn parsed(text: &str) -> Value {
    let mut map = Map::new();
    let mut rest = text;
    while let Some((name, inside, after)) = first(rest) {
        let value = parsed(inside);
        match map.get_mut(name) {
            Some(Value::Array(all)) => all.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
            None => drop(map.insert(name.to_owned(), value)),
        }
        rest = after;
    }
    if map.is_empty() { Value::from(text) } else { Value::Object(map) }
}

/// The first element: its name, its inside, and what comes after it. None of here stands within one of its own name.
fn first(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.strip_prefix('<')?.split_once('>')?;
    let (inside, after) = rest.split_once(&format!("</{name}>"))?;
    Some((name, inside, after))
}
