//! Variables: in and out of the ledger's form, and swapped by patches.

use super::*;

fn object(env: Value) -> Value {
    let mut container = json!({ "name": "app", "image": "i" });
    if !env.is_null() {
        container["env"] = env;
    }
    json!({ "spec": { "template": { "spec": { "containers": [{ "name": "side" }, container] } } } })
}

fn patched(object: &Value, operations: &[Value]) -> Option<Value> {
    let mut patched = object.clone();
    let operations: Vec<&Value> = operations
        .iter()
        .filter(|operation| {
            // The crate takes a test for null of a missing member as failed; the API server does not.
            !(operation["op"] == "test" && operation["value"].is_null() && object.pointer(operation["path"].as_str().unwrap()).is_none())
        })
        .collect();
    json_patch::patch(&mut patched, &serde_json::from_value::<json_patch::Patch>(json!(operations)).unwrap()).ok()?;
    Some(patched)
}

fn wanted(value: Value) -> BTreeMap<String, Value> {
    serde_json::from_value(value).unwrap()
}

#[test]
fn several_variables_are_swapped_and_back() {
    let from = json!({ "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } });
    let three = json!([{ "name": "A", "value": "1" }, { "name": "B", "valueFrom": from["valueFrom"] }, { "name": "C" }]);
    for (env, to) in [
        (three.clone(), json!({ "A": "2", "B": null, "C": "x", "D": "4" })),
        (three.clone(), json!({ "A": null, "B": "plain", "C": null })),
        (three.clone(), json!({ "A": null, "B": null, "C": null })),
        (three, json!({ "A": null, "B": null, "C": null, "D": "new" })),
        (json!(null), json!({ "A": "1", "B": from })),
        (json!([{ "name": "A", "value": "1" }]), json!({ "A": null })),
    ] {
        let before = object(env);
        let to = wanted(to);
        let variables = Variables::of(&before, "app").unwrap();
        let prior: BTreeMap<String, Value> = to.keys().map(|name| (name.clone(), variables.get(name))).collect();
        let places = to.keys().filter_map(|name| Some((name.clone(), variables.position(name)?.0))).collect();
        let there = patched(&before, &variables.swap(&to, &BTreeMap::new())).unwrap();
        let variables = Variables::of(&there, "app").unwrap();
        for (name, value) in &to {
            assert_eq!(&variables.get(name), value, "{name}");
        }
        let back = patched(&there, &variables.swap(&prior, &places)).unwrap();
        // An empty text is the same as one that is left out.
        let plain = |object: &Value| object.to_string().replace(",\"value\":\"\"", "");
        assert_eq!(plain(&back), plain(&before), "{to:?}");
    }
}

#[test]
fn a_patch_holds_only_for_what_was_read() {
    let before = object(json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }]));
    let swap = |to: Value| Variables::of(&before, "app").unwrap().swap(&wanted(to), &BTreeMap::new());
    for (to, meanwhile) in [
        (json!({ "A": "9" }), object(json!([{ "name": "A", "value": "7" }]))),
        (json!({ "A": "9" }), object(json!([{ "name": "B", "value": "1" }, { "name": "A", "value": "1" }]))),
        (json!({ "A": null }), object(json!([{ "name": "B", "value": "2" }, { "name": "A", "value": "1" }]))),
        (json!({ "C": "9" }), object(json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }, { "name": "C", "value": "3" }]))),
        (
            json!({ "A": "9" }),
            json!({ "spec": { "template": { "spec": { "containers": [
            { "name": "app", "env": [{ "name": "A", "value": "1" }] }, { "name": "other", "env": [{ "name": "A", "value": "1" }] },
        ] } } } }),
        ),
    ] {
        assert_eq!(patched(&meanwhile, &swap(to.clone())), None, "{to}");
    }
    let gone = swap(json!({ "A": null, "B": null }));
    assert_eq!(patched(&object(json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }, { "name": "C" }])), &gone), None);
}

#[test]
fn values_are_texts() {
    for (given, text) in [(json!(9), "9"), (json!(9.0), "9"), (json!(0.5), "0.5"), (json!(true), "true"), (json!("x y"), "x y")] {
        assert_eq!(serde_json::from_value::<Wanted>(given).unwrap(), Wanted(Some(text.to_owned())));
    }
    assert_eq!(serde_json::from_value::<Wanted>(json!(null)).unwrap(), Wanted(None));
    let error = serde_json::from_value::<Wanted>(json!(["hunter2"])).unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "{error}");
    assert!(is_name("DB_POOL_MAX") && is_name("a.b-c") && !is_name("1A") && !is_name("") && !is_name("A]") && !is_name("A=B"));
}

#[test]
fn the_digest_is_that_of_rfc_4231() {
    let tag = hex(&hmac(b"Jefe", b"what do ya want for nothing?"));
    assert_eq!(tag, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    let tag = hex(&hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"));
    assert_eq!(tag, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    assert_ne!(digest("new", &json!("old")), digest("new", &json!("older")));
}
