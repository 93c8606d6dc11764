//! `environment check` asks every instance of PgBouncer that a file names.

use super::{Place, on_both};
use crate::support::{Ran, Stage};

fn checked(place: &Place, password: &str, second: &str) -> Ran {
    let stage = Stage::new().env("POOLER_PASSWORD", password);
    let folder = stage.root().join("playbooks/environments");
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "environment: staging\npgbouncer:\n  instances: [\"{}\", \"{second}\"]\n  user: runsheet\n  password: {{ env: POOLER_PASSWORD }}\n  tls: disable\n",
        place.wires[0].address
    );
    std::fs::write(folder.join("staging.yaml"), text).unwrap();
    stage.run(&["environment", "check", "staging"])
}

async fn every_instance_is_asked(place: Place) {
    let password = secrecy::ExposeSecret::expose_secret(place.pgbouncer.as_ref().unwrap().password.as_ref().unwrap()).to_owned();
    let second = place.wires[1].address.to_string();
    let ran = tokio::task::block_in_place(|| checked(&place, &password, &second));
    let text = ran.to_string();
    assert!(text.contains("pgbouncer.password comes from"), "{text}");
    assert_eq!(text.matches("; PgBouncer 1.18.0").count(), 2, "{text}");
    assert_eq!(ran.code, Some(0), "{text}");

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ran = tokio::task::block_in_place(|| checked(&place, &password, &free));
    let text = ran.to_string();
    assert!(text.contains(&format!("no connection to PgBouncer at {free}: Connection refused")), "{text}");
    assert_eq!((text.matches("; PgBouncer 1.18.0").count(), ran.code), (1, Some(6)), "the other is asked all the same: {text}");

    let ran = tokio::task::block_in_place(|| checked(&place, "s3cretly-wrong", &second));
    let text = ran.to_string();
    assert!(text.contains("does not let the user runsheet in") && !text.contains("s3cretly-wrong"), "{text}");
}

on_both!(real_pgbouncer, super::super::Real::Pooled; every_instance_is_asked);
