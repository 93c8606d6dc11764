//! Why a way to a host does not lead there, by cause.
//!
//! Invariant: each cause has its own words and its own way out. All but [`ViaError::Broken`] are certain: the host got nothing of what was sent.

use std::time::Duration;

use super::super::kubernetes::KubeError;

/// Why a way does not lead to its host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViaError {
    /// The environment has no cluster that could forward.
    #[error("the environment names no Kubernetes cluster")]
    NoCluster,
    /// The cluster could not be asked.
    #[error("{0}")]
    Cluster(KubeError),
    /// The Service or pod is not there.
    #[error("there is no {what} in namespace {namespace}")]
    Missing {
        /// `service ticket-service`
        what: String,
        /// The namespace.
        namespace: String,
    },
    /// Nothing behind the Service could be forwarded to.
    #[error("no pod behind service {service} in namespace {namespace} is ready")]
    NoReadyPod {
        /// The Service.
        service: String,
        /// The namespace.
        namespace: String,
    },
    /// The pod does not run.
    #[error("pod {pod} in namespace {namespace} does not run: it is {phase}")]
    NotRunning {
        /// The pod.
        pod: String,
        /// The namespace.
        namespace: String,
        /// `Pending`
        phase: String,
    },
    /// The Service or pod has no such port.
    #[error("{what} has no port {port}; it has {known}")]
    NoPort {
        /// `service ticket-service`
        what: String,
        /// What was asked for.
        port: String,
        /// Those that it has.
        known: String,
    },
    /// The account may not.
    #[error("the account may not {verb} {resource} in namespace {namespace} (403){said}")]
    Forbidden {
        /// `create`
        verb: &'static str,
        /// `pods/portforward`
        resource: &'static str,
        /// The namespace.
        namespace: String,
        /// The server's words, after a colon.
        said: String,
    },
    /// The cluster refused for another reason.
    #[error("the Kubernetes API refuses it ({status}){said}")]
    Refused {
        /// The status.
        status: u16,
        /// The server's words, after a colon.
        said: String,
    },
    /// The pod's port takes no connection.
    #[error("pod {pod} takes no connection on port {port}: {why}")]
    PodRefuses {
        /// The pod.
        pod: String,
        /// The port.
        port: u16,
        /// The node's words.
        why: String,
    },
    /// OpenSSH is not installed.
    #[error("`ssh` is not installed on this machine")]
    NoSsh,
    /// `ssh` cannot be run.
    #[error("`ssh` cannot be run: {why}")]
    SshNotStarted {
        /// Why.
        why: String,
    },
    /// The machine cannot be reached.
    #[error("no connection to {machine}: {why}")]
    SshUnreachable {
        /// The machine.
        machine: String,
        /// Why.
        why: String,
    },
    /// Nobody has said which key the machine has.
    #[error("the host key of {machine} is not known on this machine: {why}")]
    HostKeyUnknown {
        /// The machine.
        machine: String,
        /// The words of `ssh`.
        why: String,
    },
    /// The machine has another key than it had.
    #[error("the host key of {machine} has changed since it was noted")]
    HostKeyChanged {
        /// The machine.
        machine: String,
    },
    /// The machine does not let us in.
    #[error("{machine} does not let us in: {why}")]
    SshAuthentication {
        /// The machine.
        machine: String,
        /// The words of `ssh`.
        why: String,
    },
    /// The machine does not get to the host.
    #[error("{machine} makes no connection to {target}: {why}")]
    SshTarget {
        /// The machine.
        machine: String,
        /// The host and port.
        target: String,
        /// The words of `ssh`.
        why: String,
    },
    /// `ssh` ended for another reason.
    #[error("`ssh` to {machine} ended: {why}")]
    SshEnded {
        /// The machine.
        machine: String,
        /// Its last words.
        why: String,
    },
    /// It took too long.
    #[error("the way was not open within {} s", after.as_secs_f32())]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// There is no port on this machine to begin at.
    #[error("no port of this machine could be opened for it: {why}")]
    NoListener {
        /// Why.
        why: String,
    },
    /// It ended in the middle; what was sent may have arrived.
    #[error("the way broke down: {why}")]
    Broken {
        /// Why.
        why: String,
    },
}

impl ViaError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoCluster => "add the key `kubernetes` to the environment",
            Self::Cluster(_) => "check that the cluster is up and reachable from here",
            Self::Missing { .. } => "check the name and the namespace under `via` in the environment: `k8s:NAMESPACE/service/NAME:PORT`",
            Self::NoReadyPod { .. } => "see why none is ready: `kubectl get pods`, `kubectl get endpointslices`",
            Self::NotRunning { .. } => "see why: `kubectl describe pod`",
            Self::NoPort { .. } => "correct the port under `via` in the environment",
            Self::Forbidden { resource: "pods/portforward", .. } => {
                "allow `get` and `create` on `pods/portforward` in a Role (clusters from 1.35 on ask for both)"
            }
            Self::Forbidden { .. } => "allow it in a Role: a port-forward to a Service reads the Service and its endpointslices",
            Self::Refused { .. } => "try it by hand: `kubectl port-forward`",
            Self::PodRefuses { .. } => "check the port under `via` in the environment, and that the container listens on it",
            Self::NoSsh => "install OpenSSH's client (package `openssh-client`)",
            Self::SshNotStarted { .. } => "check that `ssh` on the PATH may be executed",
            Self::SshUnreachable { .. } => "try it by hand: `ssh HOST true`; check the name, the port and the network",
            Self::HostKeyUnknown { .. } => "log in once by hand and compare the key (`ssh HOST`), or add it to ~/.ssh/known_hosts",
            Self::HostKeyChanged { .. } => {
                "find out why before anything else; where the machine was set up anew, `ssh-keygen -R HOST` forgets the old key"
            }
            Self::SshAuthentication { .. } => {
                "nobody can be asked for a password here: load a key into the agent (`ssh-add`) or name one in ~/.ssh/config"
            }
            Self::SshTarget { .. } => "check the host and port as that machine sees them, and that it may forward (`AllowTcpForwarding`)",
            Self::SshEnded { .. } => "try it by hand: `ssh -v -W HOST:PORT MACHINE`",
            Self::TimedOut { .. } => "check the network between here, the way and the host",
            Self::NoListener { .. } => "close what keeps ports or files open on this machine",
            Self::Broken { .. } => "try it again; see what happened to the pod or machine that it went through",
        }
    }

    /// Whether trying again can help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Cluster(error) => !matches!(error, KubeError::Credentials(_) | KubeError::TooLarge),
            Self::Refused { status, .. } => matches!(status, 408 | 409 | 429 | 500..=599),
            Self::NoReadyPod { .. }
            | Self::NotRunning { .. }
            | Self::PodRefuses { .. }
            | Self::SshUnreachable { .. }
            | Self::SshTarget { .. }
            | Self::SshEnded { .. }
            | Self::TimedOut { .. }
            | Self::NoListener { .. }
            | Self::Broken { .. } => true,
            Self::NoCluster
            | Self::Missing { .. }
            | Self::NoPort { .. }
            | Self::Forbidden { .. }
            | Self::NoSsh
            | Self::SshNotStarted { .. }
            | Self::HostKeyUnknown { .. }
            | Self::HostKeyChanged { .. }
            | Self::SshAuthentication { .. } => false,
        }
    }

    /// Whether the host may have got something of what was sent.
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Broken { .. })
    }
}
