//! Redis's protocol: who gets in, what is answered, and what hostile clients get. And that the load's history outlives a restart.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Sandbox;

/// What comes back for these bytes, up to the end of the connection or so many bytes.
async fn said(sandbox: &Sandbox, sent: &[u8], least: usize) -> String {
    let mut stream = TcpStream::connect(sandbox.running.address()).await.unwrap();
    // A server that has heard enough may end it before it was sent all.
    let _sent = stream.write_all(sent).await;
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while heard.len() < least {
        match stream.read(&mut buffer).await {
            Ok(length @ 1..) => heard.extend_from_slice(&buffer[..length]),
            Ok(0) | Err(_) => break,
        }
    }
    String::from_utf8(heard).unwrap()
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes()));
    bytes
}

#[tokio::test]
async fn nobody_is_told_anything_without_the_password() {
    let sandbox = Sandbox::start().await;
    let password = sandbox.running.ready.postgres_password.clone();
    assert_eq!(said(&sandbox, &command(&["INFO"]), 1).await, "-NOAUTH Authentication required.\r\n");
    assert!(said(&sandbox, &command(&["HELLO", "3"]), 1).await.starts_with("-NOAUTH HELLO must be called"));
    for words in [&["AUTH", "wrong"][..], &["AUTH", "root", &password], &["HELLO", "3", "AUTH", "default", "wrong"]] {
        let heard = said(&sandbox, &command(words), 1).await;
        assert_eq!(heard, "-WRONGPASS invalid username-password pair or user is disabled.\r\n", "{}", words[0]);
    }
    let heard = said(&sandbox, &[command(&["AUTH", &password]), command(&["PING"]), command(&["GET", "a"])].concat(), 60).await;
    assert_eq!(heard, "+OK\r\n+PONG\r\n-ERR unknown command 'get', with args beginning with: 'a' \r\n");
    let heard = said(&sandbox, &command(&["HELLO", "3", "AUTH", "runsheet", &password]), 40).await;
    assert!(heard.starts_with("%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n"), "{heard}");
    let heard = said(&sandbox, &[command(&["AUTH", &password]), command(&["INFO", "memory"])].concat(), 100).await;
    assert!(heard.contains("# Memory\r\nused_memory:") && !heard.contains("redis_version"), "{heard}");
}

#[tokio::test]
async fn lengths_that_lie_end_the_session() {
    let sandbox = Sandbox::start().await;
    for (sent, told) in [
        ("*1000000000\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        ("*1\r\n$1000000000\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("*1\r\nPING\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
    ] {
        assert_eq!(said(&sandbox, sent.as_bytes(), usize::MAX).await, told, "{sent:?}");
    }
    let endless = format!("*{}", "1".repeat(100_000));
    let heard = said(&sandbox, endless.as_bytes(), usize::MAX).await;
    assert!(heard.is_empty() || heard.contains("Protocol error"), "it ends: {heard}");
}

#[tokio::test]
async fn what_the_load_came_to_outlives_a_restart_and_ends_with_a_reset() {
    let sandbox = Sandbox::start().await;
    super::super::load::set(sandbox.path(), 800.0).await.unwrap();
    super::eventually("purchases wait", async || waiting(&sandbox).await > 100).await;
    let before = waiting(&sandbox).await;
    let sandbox = sandbox.restart().await;
    assert!(waiting(&sandbox).await >= before);
    super::super::reset(sandbox.path()).await.unwrap();
    super::eventually("nothing waits", async || waiting(&sandbox).await == 0).await;
}

/// The messages of `ticket-purchases`.
async fn waiting(sandbox: &Sandbox) -> u64 {
    let ready = &sandbox.running.ready;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("http://{}/api/queues", ready.address)).header("host", "rabbitmq.production");
    let answer = request.basic_auth("runsheet", Some(&ready.postgres_password)).send().await.unwrap();
    let queues: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    queues[1]["messages"].as_u64().unwrap()
}
