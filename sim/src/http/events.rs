//! What happens, as server-sent events.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::json;
use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;

use super::Reply;
use super::body::{self, Body};
use crate::broker::Broker;

/// Events that wait for a browser before the feed itself is left behind.
const MAX_WAITING: usize = 64;

/// How often something is sent though nothing happens, so that a client that is gone is noticed.
const BEAT: Duration = Duration::from_secs(15);

/// Everything that happens from now on.
pub(super) fn stream(broker: &Arc<Broker>) -> Reply {
    let mut heard = broker.lock().journal.feed.listen();
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    let broker = Arc::clone(broker);
    tokio::spawn(async move {
        let mut text = ": what happens from now on\n\n".to_owned();
        // Sending fails once the client is gone.
        while sender.send(Bytes::from(text)).await.is_ok() {
            text = match timeout(BEAT, heard.recv()).await {
                Err(_) => ":\n\n".to_owned(),
                Ok(Ok(event)) => {
                    let json = event.json(&broker.lock().registry);
                    format!("data: {json}\n\n")
                }
                Ok(Err(broadcast::error::RecvError::Lagged(count))) => {
                    format!("data: {}\n\n", json!({"kind": "lost", "count": count}))
                }
                Ok(Err(broadcast::error::RecvError::Closed)) => return,
            };
        }
    });
    body::reply(StatusCode::OK, "text/event-stream", Body::Stream(receiver))
}
