//! A proxy in front of a stand-in for AWS, which gives it what it lacks: states between one and the next, what waits for its window, throttling, cuts.
//!
//! Invariant: each request that came is remembered by its action; without an order for it everything passes through as it is. What neither stand-in
//! knows (`ListAllowedNodeTypeModifications`, a group's members with what they have pending) is answered here.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

/// A connection that is cut without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

/// What happens to the next request for an action.
#[derive(Clone, Debug)]
pub enum AwsFault {
    /// The connection is cut before the server has it.
    CutBefore,
    /// It is cut once the server has answered.
    CutAfter,
    /// Half of the answer comes, and then the connection ends.
    CutWithin,
    /// It is refused in the server's place: the status, AWS's code, and `Retry-After` in seconds.
    Refuse(u16, &'static str, Option<u32>),
    /// It is answered by a page of HTML.
    Page(u16),
    /// It is answered by another XML than was asked for.
    OtherXml,
    /// It is kept for so long first.
    Delay(Duration),
}

/// A state that readers are shown in the place of what the server says, for so many looks.
#[derive(Clone, Debug)]
struct Shown {
    looks: u32,
    /// Texts of the answer, each replaced by the other.
    replaced: Vec<(String, String)>,
    /// The node type that waits at the members meanwhile.
    pending: Option<String>,
}

#[derive(Default)]
struct State {
    faults: VecDeque<(String, AwsFault)>,
    seen: Vec<BTreeMap<String, String>>,
    /// By the name of what is looked at.
    shown: BTreeMap<String, VecDeque<Shown>>,
    /// The former node types, of groups that are on their way.
    former: BTreeMap<String, String>,
    /// Each group that was looked at: its node type and its members, as the server says them.
    groups: BTreeMap<String, (String, Vec<String>)>,
    slow: u32,
}

struct Shared {
    upstream: String,
    client: reqwest::Client,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The proxy. It ends with the runtime that it was started on.
pub struct AwsProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl AwsProxy {
    /// In front of this server.
    pub async fn start(upstream: String) -> Self {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let shared = Arc::new(Shared { upstream, client, state: Mutex::default() });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let passing = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&passing);
                // A task of its own: what came is carried out, also where its client is killed meanwhile.
                let service = service_fn(move |request| {
                    let passing = tokio::spawn(pass(Arc::clone(&shared), request));
                    async move { passing.await.unwrap_or(Err(Cut)) }
                });
                // It ends with an error where it is cut.
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, shared }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A fault for the next request for this action.
    pub fn fault(&self, action: &str, fault: AwsFault) {
        self.shared.state().faults.push_back((action.to_owned(), fault));
    }

    /// From now on whatever is changed takes so many looks in each state.
    pub fn slow(&self, looks: u32) {
        self.shared.state().slow = looks;
    }

    /// How many requests for this action came, that had this parameter's value where one is given.
    pub fn count(&self, action: &str, parameter: Option<(&str, &str)>) -> usize {
        let state = self.shared.state();
        let is = |seen: &&BTreeMap<String, String>| {
            seen.get("Action").is_some_and(|seen| seen == action)
                && parameter.is_none_or(|(name, value)| seen.get(name).is_some_and(|seen| seen == value))
        };
        state.seen.iter().filter(is).count()
    }
}

async fn pass(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(Body::new(body), 1 << 20).await else { return Err(Cut) };
    let query: BTreeMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let action = query.get("Action").cloned().unwrap_or_default();
    let fault = {
        let mut state = shared.state();
        state.seen.push(query.clone());
        let at = state.faults.iter().position(|(of, _)| *of == action);
        at.and_then(|at| state.faults.remove(at)).map(|(_, fault)| fault)
    };
    match &fault {
        Some(AwsFault::CutBefore) => return Err(Cut),
        Some(AwsFault::Refuse(status, code, retry_after)) => return Ok(refusal(*status, code, *retry_after)),
        Some(AwsFault::Page(status)) => {
            return Ok(answer(*status, "text/html; charset=utf-8", "<html><body><h1>Bad Gateway</h1></body></html>"));
        }
        Some(AwsFault::OtherXml) => return Ok(answer(200, "text/xml", "<ListAllMyBucketsResult/>")),
        Some(AwsFault::Delay(delay)) => tokio::time::sleep(*delay).await,
        Some(AwsFault::CutAfter | AwsFault::CutWithin) | None => {}
    }
    if action == "ListAllowedNodeTypeModifications" {
        return Ok(answer(200, "text/xml", ALLOWED));
    }
    let before = former(&shared, &action, &query, &parts.headers).await;
    let Some((status, text)) = forward(&shared, &parts.headers, body.to_vec()).await else { return Err(Cut) };
    if status == 200 {
        note(&shared, &action, &query, before);
        looked_at(&shared, &action, &query, &text);
    }
    let text = shown(&shared, &action, &query, text);
    match fault {
        Some(AwsFault::CutAfter) => Err(Cut),
        Some(AwsFault::CutWithin) => {
            let half = text.as_bytes()[..text.len() / 2].to_vec();
            let parts = futures::stream::iter([Ok(half), Err(std::io::Error::other("cut"))]);
            Ok(Response::builder()
                .status(status)
                .header(header::CONTENT_TYPE, "text/xml")
                .body(Body::from_stream(parts))
                .expect("an answer"))
        }
        _ => Ok(answer(status, "text/xml", &text)),
    }
}

/// What neither stand-in knows.
const ALLOWED: &str = "<ListAllowedNodeTypeModificationsResponse xmlns=\"http://elasticache.amazonaws.com/doc/2015-02-02/\">\
    <ListAllowedNodeTypeModificationsResult><ScaleUpModifications><member>cache.r6g.large</member><member>cache.r6g.xlarge</member></ScaleUpModifications>\
    <ScaleDownModifications><member>cache.t4g.medium</member><member>cache.t4g.small</member></ScaleDownModifications>\
    </ListAllowedNodeTypeModificationsResult></ListAllowedNodeTypeModificationsResponse>";

async fn forward(shared: &Shared, headers: &http::HeaderMap, body: Vec<u8>) -> Option<(u16, String)> {
    let passed_on = [header::AUTHORIZATION, header::CONTENT_TYPE];
    let headers = passed_on.into_iter().filter_map(|name| headers.get(&name).cloned().map(|value| (name, value)));
    let answer = shared.client.post(&shared.upstream).headers(headers.collect()).body(body).send().await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

/// The node type that a group has before it is changed.
async fn former(shared: &Shared, action: &str, query: &BTreeMap<String, String>, headers: &http::HeaderMap) -> Option<String> {
    if action != "ModifyReplicationGroup" {
        return None;
    }
    let id = query.get("ReplicationGroupId")?;
    let body = format!("Action=DescribeReplicationGroups&Version=2015-02-02&ReplicationGroupId={id}");
    let (_, text) = forward(shared, headers, body.into_bytes()).await?;
    let (_, rest) = text.split_once("<CacheNodeType>")?;
    rest.split_once("</CacheNodeType>").map(|(node_type, _)| node_type.to_owned())
}

/// A change that was taken: what readers are shown of it, for a while.
fn note(shared: &Shared, action: &str, query: &BTreeMap<String, String>, before: Option<String>) {
    let mut state = shared.state();
    let looks = state.slow;
    if looks == 0 {
        return;
    }
    let get = |name: &str| query.get(name).cloned().unwrap_or_default();
    match (action, before) {
        ("ModifyReplicationGroup", Some(was)) => {
            let (id, node_type) = (get("ReplicationGroupId"), get("CacheNodeType"));
            let still = (format!("<CacheNodeType>{node_type}</CacheNodeType>"), format!("<CacheNodeType>{was}</CacheNodeType>"));
            let modifying = ("<Status>available</Status>".to_owned(), "<Status>modifying</Status>".to_owned());
            let stages = [
                Shown { looks, replaced: vec![still.clone()], pending: Some(node_type.clone()) },
                Shown { looks, replaced: vec![still, modifying], pending: Some(node_type) },
            ];
            state.former.insert(id.clone(), was);
            state.shown.insert(id, stages.into());
        }
        ("IncreaseReplicaCount" | "DecreaseReplicaCount", _) => {
            let modifying = ("<Status>available</Status>".to_owned(), "<Status>modifying</Status>".to_owned());
            state.shown.insert(get("ReplicationGroupId"), [Shown { looks, replaced: vec![modifying], pending: None }].into());
        }
        ("CreateDBInstanceReadReplica", _) => {
            let status = |status: &str| {
                ("<DBInstanceStatus>available</DBInstanceStatus>".to_owned(), format!("<DBInstanceStatus>{status}</DBInstanceStatus>"))
            };
            let stages = ["creating", "backing-up"].map(|name| Shown { looks, replaced: vec![status(name)], pending: None });
            // Available, and not replicating yet.
            let infos = "<StatusInfos><DBInstanceStatusInfo><StatusType>read replication</StatusType><Normal>true</Normal><Status>connecting</Status></DBInstanceStatusInfo></StatusInfos><DBInstanceArn>";
            let early = Shown {
                looks,
                replaced: vec![
                    ("<StatusInfos></StatusInfos>".into(), String::new()),
                    ("<StatusInfos/>".into(), String::new()),
                    ("<DBInstanceArn>".into(), infos.into()),
                ],
                pending: None,
            };
            state.shown.insert(get("DBInstanceIdentifier"), stages.into_iter().chain([early]).collect());
        }
        _ => {}
    }
}

/// Keeps what the server says of a group, whose members are asked for next.
fn looked_at(shared: &Shared, action: &str, query: &BTreeMap<String, String>, text: &str) {
    let Some(id) = query.get("ReplicationGroupId").filter(|_| action == "DescribeReplicationGroups") else { return };
    let all = |name: &str| -> Vec<String> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        text.split(&open).skip(1).filter_map(|rest| rest.split_once(&close)).map(|(inner, _)| inner.to_owned()).collect()
    };
    let members = [all("CacheClusterId"), all("ClusterId"), vec![format!("{id}-001")]].into_iter().find(|names| !names.is_empty());
    let node_type = all("CacheNodeType").pop().unwrap_or_default();
    shared.state().groups.insert(id.clone(), (node_type, members.unwrap_or_default()));
}

/// An answer as readers are shown it.
fn shown(shared: &Shared, action: &str, query: &BTreeMap<String, String>, text: String) -> String {
    let mut state = shared.state();
    if action == "DescribeCacheClusters" {
        // moto lists none, and MiniStack's keep the node type that they were made with.
        let mut members = String::new();
        for (id, (node_type, names)) in &state.groups {
            let on_its_way = state.shown.get(id).and_then(|stages| stages.front()?.pending.as_ref()).zip(state.former.get(id));
            let (node_type, pending) = match on_its_way {
                Some((pending, was)) => (was, format!("<CacheNodeType>{pending}</CacheNodeType>")),
                None => (node_type, String::new()),
            };
            for name in names {
                members.push_str(&format!(
                    "<CacheCluster><CacheClusterId>{name}</CacheClusterId><CacheClusterStatus>available</CacheClusterStatus><CacheNodeType>{node_type}</CacheNodeType>\
                     <PreferredMaintenanceWindow>sun:05:00-sun:06:00</PreferredMaintenanceWindow>\
                     <PendingModifiedValues>{pending}</PendingModifiedValues><ReplicationGroupId>{id}</ReplicationGroupId></CacheCluster>"
                ));
            }
        }
        return format!(
            "<DescribeCacheClustersResponse xmlns=\"http://elasticache.amazonaws.com/doc/2015-02-02/\"><DescribeCacheClustersResult><CacheClusters>{members}</CacheClusters>\
             </DescribeCacheClustersResult></DescribeCacheClustersResponse>"
        );
    }
    let looks_at = match action {
        "DescribeReplicationGroups" => query.get("ReplicationGroupId"),
        "DescribeDBInstances" => query.get("DBInstanceIdentifier"),
        _ => None,
    };
    let Some(stages) = looks_at.and_then(|id| state.shown.get_mut(id)) else { return text };
    while stages.front().is_some_and(|stage| stage.looks == 0) {
        stages.pop_front();
    }
    let Some(stage) = stages.front_mut() else { return text };
    stage.looks -= 1;
    stage.replaced.iter().fold(text, |text, (from, to)| text.replace(from, to))
}

fn answer(status: u16, kind: &str, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response.headers_mut().insert(header::CONTENT_TYPE, kind.parse().expect("a media type"));
    response
}

fn refusal(status: u16, code: &str, retry_after: Option<u32>) -> Response<Body> {
    let text = format!(
        "<ErrorResponse xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\"><Error><Type>Sender</Type><Code>{code}</Code><Message>the test's proxy says {code}</Message></Error>\
         <RequestId>00000000-0000-4000-8000-000000000000</RequestId></ErrorResponse>"
    );
    let mut response = answer(status, "text/xml", &text);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
