//! What the readings of the cluster share beside what every reading does: they need the cluster.
//!
//! Must not change anything. Invariant: nothing is asked of a cluster that the run did not record.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::cluster;
use crate::actions::reading;
use crate::environment::Connections;
use crate::model::catalogue::ActionEntry;
use crate::model::outcome::Failure;
use crate::ports::action::{Context, Inputs};

pub(super) use crate::actions::reading::entry;

/// A question to the cluster.
#[async_trait]
pub(super) trait Reading: Send + Sync + 'static {
    /// What there is to know about it.
    fn entry() -> Arc<ActionEntry>;

    /// Whether the inputs fit, as far as can be told without asking.
    ///
    /// # Errors
    /// What does not fit.
    fn check(cx: &Context, inputs: &Inputs) -> Result<(), Failure>;

    /// Asks; the outputs.
    ///
    /// # Errors
    /// Why there is no answer.
    async fn read(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure>;
}

/// A question to the cluster, as one to any system.
pub(super) struct OfCluster<R>(PhantomData<R>);

/// The action that asks it.
pub(super) type Reader<R> = reading::Reader<OfCluster<R>>;

#[async_trait]
impl<R: Reading> reading::Reading for OfCluster<R> {
    fn entry() -> Arc<ActionEntry> {
        R::entry()
    }

    fn check(_: &Connections, cx: &Context, inputs: &Inputs) -> Result<(), Failure> {
        R::check(cx, inputs)?;
        cluster(&R::entry().name, cx).map(drop)
    }

    async fn read(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        R::read(connections, cx, inputs).await
    }
}
