//! The triggers of a ScaledObject, and what each scaler needs of them.
//!
//! Must not ask anything. Invariant: what KEDA could not work with is refused with what is missing and why; of a scaler that is not known here
//! only the form is checked.
//! After KEDA 2.21: <https://keda.sh/docs/2.21/scalers/>

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use crate::model::outcome::Failure;

/// A trigger, in KEDA's own spelling.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Trigger {
    /// The scaler: `rabbitmq`, `prometheus`, `cpu`, `cron`, …
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Its name, where it has one; no two of a ScaledObject have the same.
    name: Option<String>,
    /// What the scaler needs, by its own names: texts, numbers and booleans.
    metadata: Map<String, Value>,
    /// `AverageValue` (for each pod; the default), `Value` (for all of them), or `Utilization` (of `cpu` and `memory`, which need it).
    metric_type: Option<MetricType>,
    /// The TriggerAuthentication with what it logs in by.
    authentication_ref: Option<AuthenticationRef>,
    /// Whether KEDA keeps the metric between its own looks.
    use_cached_metrics: Option<bool>,
}

/// What a target is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
enum MetricType {
    /// The average of all pods.
    AverageValue,
    /// All of it.
    Value,
    /// In percent of the requests.
    Utilization,
}

/// The object that a trigger logs in by.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AuthenticationRef {
    /// Its name.
    name: String,
    /// `TriggerAuthentication` where it is left out, or `ClusterTriggerAuthentication`.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
}

/// The modes of the scaler `rabbitmq`.
const MODES: [&str; 5] = ["QueueLength", "MessageRate", "DeliverGetRate", "PublishedToDeliveredRatio", "ExpectedQueueConsumptionTime"];

impl Trigger {
    /// As the API has it: KEDA takes only texts.
    pub(super) fn object(&self) -> Value {
        let metadata: Map<String, Value> = self.metadata.iter().map(|(key, value)| (key.clone(), json!(plain(value)))).collect();
        let mut object = json!({ "type": self.kind });
        if let Some(name) = &self.name {
            object["name"] = json!(name);
        }
        object["metadata"] = Value::Object(metadata);
        if let Some(kind) = self.metric_type {
            object["metricType"] = json!(kind);
        }
        if let Some(reference) = &self.authentication_ref {
            object["authenticationRef"] = json!(reference);
        }
        if self.use_cached_metrics == Some(true) {
            object["useCachedMetrics"] = json!(true);
        }
        object
    }

    /// Whether it goes by what the pods use, which takes no service to zero.
    pub(super) fn of_resources(&self) -> bool {
        matches!(self.kind.as_str(), "cpu" | "memory")
    }

    /// The names of variables of the workload's container that it is to be read from.
    pub(super) fn variables(&self) -> impl Iterator<Item = String> {
        self.metadata.iter().filter(|(key, _)| key.ends_with("FromEnv")).map(|(_, value)| plain(value))
    }

    fn given(&self, key: &str) -> Option<String> {
        self.metadata.get(key).map(plain).filter(|text| !text.is_empty())
    }

    /// What is wrong with it.
    pub(super) fn refusal(&self) -> Option<Failure> {
        for (key, value) in &self.metadata {
            if value.is_object() || value.is_array() || value.is_null() {
                return Some(self.wrong(&format!("`{key}` is {value}, and KEDA takes only texts"), "write a text, a number or a boolean"));
            }
            if Url::parse(&plain(value)).is_ok_and(|url| url.password().is_some()) {
                return Some(self.wrong(
                    &format!("`{key}` holds a password, which everybody could read who may read the ScaledObject"),
                    &format!("name the variable of the container that holds it (`{key}FromEnv`), or a TriggerAuthentication (`authenticationRef`)"),
                ));
            }
        }
        match self.kind.as_str() {
            "rabbitmq" => self.rabbitmq(),
            "prometheus" => self.prometheus(),
            "cpu" | "memory" => self.resources(),
            "cron" => self.needs(&["timezone", "start", "end", "desiredReplicas"]),
            "" => Some(Failure::permanent("a trigger has no type").hint("`type: rabbitmq`, for instance")),
            _ => None,
        }
    }

    fn wrong(&self, what: &str, hint: &str) -> Failure {
        Failure::permanent(format!("the trigger {}: {what}", self.name.as_ref().unwrap_or(&self.kind))).hint(hint)
    }

    fn needs(&self, keys: &[&str]) -> Option<Failure> {
        let missing: Vec<String> = keys.iter().filter(|key| self.given(key).is_none()).map(|key| format!("`{key}`")).collect();
        (!missing.is_empty()).then(|| {
            self.wrong(&format!("{} is missing", missing.join(", ")), "give it under `metadata`, as KEDA's page of that scaler says")
        })
    }

    fn above_zero(&self, key: &str, hint: &str) -> Option<Failure> {
        let text = self.given(key)?;
        let fine = text.parse::<f64>().is_ok_and(|number| number.is_finite() && number > 0.0);
        (!fine).then(|| self.wrong(&format!("`{key}` is `{text}`, which is no number above 0"), hint))
    }

    fn rabbitmq(&self) -> Option<Failure> {
        if let Some(length) = self.given("queueLength") {
            let hint = format!("write `mode: QueueLength` and `value: \"{length}\"`");
            return Some(self.wrong("`queueLength` is KEDA's former word, and is refused beside `mode` and `value`", &hint));
        }
        let hosted = ["host", "hostFromEnv"].iter().any(|key| self.given(key).is_some()) || self.authentication_ref.is_some();
        if !hosted {
            return Some(self.wrong(
                "KEDA is not told where RabbitMQ is: `host` or `hostFromEnv` is missing",
                "`hostFromEnv: RABBITMQ_URL`, the variable of the container that holds its URL; or an `authenticationRef` with the host",
            ));
        }
        if let Some(failure) = self.needs(&["queueName", "mode", "value"]) {
            return Some(failure);
        }
        let mode = self.given("mode").unwrap_or_default();
        if !MODES.contains(&mode.as_str()) {
            return Some(self.wrong(&format!("`{mode}` is no mode"), &format!("one of {}", MODES.join(", "))));
        }
        self.above_zero("value", "messages for each pod (`QueueLength`), or messages a second (`MessageRate`)")
    }

    fn prometheus(&self) -> Option<Failure> {
        if self.given("query").is_none() && self.given("metricName").is_some() {
            return Some(self.wrong(
                "`query` is missing: `metricName` only ever named the metric, and asks Prometheus nothing",
                "`query: sum(rate(http_requests_total{app=\"ticket-service\"}[1m]))`, for instance",
            ));
        }
        if self.given("metricName").is_some() {
            return Some(self.wrong("`metricName` is no setting of KEDA's any more", "leave it out; KEDA names the metric itself"));
        }
        let failure = self.needs(&["serverAddress", "query", "threshold"]);
        failure.or_else(|| self.above_zero("threshold", "what the query may come to for each pod"))
    }

    fn resources(&self) -> Option<Failure> {
        if self.given("type").is_some() {
            return Some(
                self.wrong("`type` under `metadata` is no setting of KEDA's any more", "write `metricType: Utilization` beside `metadata`"),
            );
        }
        if !matches!(self.metric_type, Some(MetricType::Utilization | MetricType::AverageValue)) {
            return Some(self.wrong("`metricType` is missing", "`metricType: Utilization` (in percent of the requests) or `AverageValue`"));
        }
        self.needs(&["value"])
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What is wrong with all of them together.
pub(super) fn refusal(triggers: &[Trigger]) -> Option<Failure> {
    if triggers.is_empty() {
        return Some(Failure::permanent("`triggers` is empty, and KEDA would have nothing to go by").hint("give it at least one"));
    }
    let mut names: Vec<&String> = triggers.iter().filter_map(|trigger| trigger.name.as_ref()).collect();
    names.sort();
    if let Some(twice) = names.windows(2).find_map(|pair| (pair[0] == pair[1]).then_some(pair[0])) {
        return Some(Failure::permanent(format!("two triggers are called {twice}")).hint("give each a name of its own, or none"));
    }
    triggers.iter().find_map(Trigger::refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(trigger: Value) -> String {
        let trigger: Trigger = serde_json::from_value(trigger).unwrap();
        trigger.refusal().map(|failure| format!("{failure} ({})", failure.hint.clone().unwrap_or_default())).unwrap_or_default()
    }

    #[test]
    fn what_the_procedure_got_wrong_is_refused_with_what_to_write() {
        let rabbitmq = |metadata: Value| refused(json!({ "type": "rabbitmq", "metadata": metadata }));
        let prometheus = |metadata: Value| refused(json!({ "type": "prometheus", "metadata": metadata }));
        for (told, wanted) in [
            (rabbitmq(json!({ "queueName": "ticket-purchases", "queueLength": "50" })), "write `mode: QueueLength` and `value: \"50\"`"),
            (
                rabbitmq(json!({ "queueName": "ticket-purchases", "mode": "QueueLength", "value": "50" })),
                "`host` or `hostFromEnv` is missing",
            ),
            (rabbitmq(json!({ "hostFromEnv": "RABBITMQ_URL", "queueName": "q" })), "`mode`, `value` is missing"),
            (rabbitmq(json!({ "hostFromEnv": "R", "queueName": "q", "mode": "Length", "value": 5 })), "`Length` is no mode"),
            (rabbitmq(json!({ "hostFromEnv": "R", "queueName": "q", "mode": "QueueLength", "value": 0 })), "no number above 0"),
            (
                rabbitmq(json!({ "host": "amqp://guest:secret@rabbitmq:5672/", "queueName": "q", "mode": "QueueLength", "value": 5 })),
                "`host` holds a password",
            ),
            (
                prometheus(
                    json!({ "serverAddress": "http://prometheus:9090", "metricName": "http_requests_per_second", "threshold": "100" }),
                ),
                "`query` is missing: `metricName` only ever named the metric",
            ),
            (prometheus(json!({ "serverAddress": "http://prometheus:9090", "query": "x" })), "`threshold` is missing"),
            (refused(json!({ "type": "cpu", "metadata": { "type": "Utilization", "value": "70" } })), "write `metricType: Utilization`"),
            (refused(json!({ "type": "memory", "metadata": { "value": "70" } })), "`metricType` is missing"),
            (refused(json!({ "type": "cron", "metadata": { "start": "0 8 * * *" } })), "`timezone`, `end`, `desiredReplicas` is missing"),
            (refused(json!({ "type": "kafka", "metadata": { "x": [1] } })), "KEDA takes only texts"),
        ] {
            assert!(told.contains(wanted), "{wanted}: {told}");
        }
        assert!(!rabbitmq(json!({ "host": "amqp://guest:secret@r/" })).contains("secret"));
    }

    #[test]
    fn what_keda_can_work_with_is_as_the_api_has_it() {
        let trigger = json!({
            "type": "rabbitmq", "name": "purchases", "authenticationRef": { "name": "rabbitmq" },
            "metadata": { "queueName": "ticket-purchases", "mode": "QueueLength", "value": 50, "excludeUnacknowledged": true },
        });
        let trigger: Trigger = serde_json::from_value(trigger).unwrap();
        assert!(trigger.refusal().is_none());
        let wanted = json!({
            "type": "rabbitmq", "name": "purchases", "authenticationRef": { "name": "rabbitmq" },
            "metadata": { "queueName": "ticket-purchases", "mode": "QueueLength", "value": "50", "excludeUnacknowledged": "true" },
        });
        assert_eq!(trigger.object(), wanted);
        assert!(refusal(&[trigger.clone(), trigger]).unwrap().message.contains("two triggers are called purchases"));
        assert!(refusal(&[]).unwrap().message.contains("`triggers` is empty"));
    }
}
