//! Redis, RabbitMQ and Prometheus: each reading on the sandbox and on the real server, and what is said of servers that do wrong.

mod environment;
mod hostile;
mod prometheus;
mod rabbitmq;
mod redis;
