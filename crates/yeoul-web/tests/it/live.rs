//! The WebSocket over a real connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use yeoul_web::dto::{Flow, FlowEdge};
use yeoul_web::{ApiError, TailBatch, router};

use crate::fake::{FakeNode, node, record};
use crate::http::options;

struct Line(WebSocketStream<MaybeTlsStream<TcpStream>>);

async fn serve(node: &Arc<FakeNode>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = router(Arc::clone(node) as _, options());
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("ws://{address}/api/v1/live")
}

impl Line {
    async fn open(url: &str) -> Self {
        let mut line = Self(connect_async(url).await.unwrap().0);
        assert_eq!(line.next().await, json!({ "type": "beat", "now_ms": 77 }));
        line
    }

    async fn send(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next frame; the test fails when none comes for 5 seconds.
    async fn next(&mut self) -> Value {
        let message = tokio::time::timeout(Duration::from_secs(5), self.0.next()).await;
        let message = message.expect("a frame in time").expect("an open line").unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    async fn silent_for(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.0.next()).await.is_err()
    }
}

#[tokio::test]
async fn the_flow_comes_as_a_snapshot_and_then_as_changes() {
    let fake = Arc::new(FakeNode::default());
    let edge =
        FlowEdge { from: "topic/a".into(), to: "topic/b".into(), total: 1, lag: 0, rate: 0.5 };
    *fake.flow.lock().unwrap() =
        Flow { at_ms: 1, nodes: vec![node("a", 1), node("b", 1)], edges: vec![edge] };
    let url = serve(&fake).await;
    let (mut one, mut two) = (Line::open(&url).await, Line::open(&url).await);
    assert_eq!(fake.looks.load(Ordering::Relaxed), 0, "nobody looks, nobody asks");
    for line in [&mut one, &mut two] {
        line.send(json!({ "op": "sub", "id": 5, "kind": "flow" })).await;
        let frame = line.next().await;
        assert_eq!(
            (&frame["id"], &frame["seq"], &frame["type"]),
            (&json!(5), &json!(1), &json!("snapshot"))
        );
        assert_eq!(frame["data"]["nodes"][1]["id"], "topic/b");
    }
    *fake.flow.lock().unwrap() =
        Flow { at_ms: 2, nodes: vec![node("a", 1), node("c", 3)], edges: vec![] };
    for line in [&mut one, &mut two] {
        let frame = line.next().await;
        assert_eq!((&frame["seq"], &frame["type"]), (&json!(2), &json!("delta")));
        let data = &frame["data"];
        assert_eq!(data["nodes"].as_array().unwrap().len(), 1);
        assert_eq!((&data["nodes"][0]["in_total"], &data["at_ms"]), (&json!(3), &json!(2)));
        assert_eq!(data["removed_nodes"], json!(["topic/b"]));
        assert_eq!(data["removed_edges"], json!([{ "from": "topic/a", "to": "topic/b" }]));
    }
    assert!(one.silent_for(Duration::from_millis(600)).await, "no change, no frame");
    // Once for both, and not at all after they have left.
    drop((one, two));
    tokio::time::sleep(Duration::from_millis(700)).await;
    let looks = fake.looks.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(fake.looks.load(Ordering::Relaxed), looks);
    // The next one to look sees what is, not what was.
    *fake.flow.lock().unwrap() = Flow { at_ms: 3, nodes: vec![node("z", 9)], edges: vec![] };
    let mut three = Line::open(&url).await;
    three.send(json!({ "op": "sub", "id": 1, "kind": "flow" })).await;
    assert_eq!(three.next().await["data"]["nodes"][0]["id"], "topic/z");
}

#[tokio::test]
async fn a_tail_gives_the_last_records_and_then_new_ones() {
    let fake = Arc::new(FakeNode::default());
    let mut line = Line::open(&serve(&fake).await).await;
    line.send(json!({ "op": "sub", "id": 1, "kind": "tail", "topic": "movies", "limit": 3 })).await;
    let frame = line.next().await;
    assert_eq!(
        (&frame["type"], &frame["data"]["records"][1]["value"]),
        (&json!("snapshot"), &json!("영화 2"))
    );
    let sender = fake.tails.lock().unwrap()[0].clone();
    for offset in 3..9 {
        sender.send(TailBatch { records: vec![record(offset)], skipped: 1 }).await.unwrap();
    }
    // However they were merged, each record was sent or counted as skipped.
    let (mut sent, mut skipped) = (Vec::new(), 0);
    while sent.last() != Some(&8) {
        let frame = line.next().await;
        assert_eq!(frame["type"], "delta");
        let records = frame["data"]["records"].as_array().unwrap();
        assert!(records.len() <= 3);
        sent.extend(records.iter().map(|record| record["offset"].as_i64().unwrap()));
        skipped += frame["data"]["skipped"].as_u64().unwrap();
    }
    assert_eq!(sent.len() as u64 + skipped, 12);
    assert!(sent.is_sorted());
    // After the end of a subscription its channel is closed, so that the node stops reading.
    line.send(json!({ "op": "unsub", "id": 1 })).await;
    tokio::time::timeout(Duration::from_secs(5), sender.closed()).await.unwrap();
}

#[tokio::test]
async fn equal_queries_are_asked_once_and_only_the_newest_result_counts() {
    let fake = Arc::new(FakeNode::default());
    let url = serve(&fake).await;
    let (mut one, mut two) = (Line::open(&url).await, Line::open(&url).await);
    let sub = json!({ "op": "sub", "id": 9, "kind": "query", "sql": "SELECT 1" });
    one.send(sub.clone()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    fake.answer(0, Ok(r#"{"rows":[[1]]}"#));
    assert_eq!(one.next().await["data"]["rows"], json!([[1]]));
    two.send(sub).await;
    let frame = two.next().await;
    assert_eq!((&frame["type"], &frame["data"]["rows"]), (&json!("snapshot"), &json!([[1]])));
    assert_eq!(fake.queries.lock().unwrap().len(), 1);
    fake.answer(0, Err(ApiError::bad_request("no such column").at(1, 8)));
    let frame = two.next().await;
    assert_eq!(
        (&frame["type"], &frame["seq"], &frame["column"]),
        (&json!("error"), &json!(2), &json!(8))
    );
    fake.answer(0, Ok(r#"{"rows":[[2]]}"#));
    assert_eq!(two.next().await["data"]["rows"], json!([[2]]));
    drop((one, two));
    let closed = async {
        while !fake.queries.lock().unwrap()[0].1.is_closed() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("the node can stop");
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_the_line_lives_on() {
    let fake = Arc::new(FakeNode::default());
    let url = serve(&fake).await;
    let mut line = Line::open(&url).await;
    line.send(json!({ "op": "sub", "id": 1, "kind": "tail", "topic": "none" })).await;
    let refused = json!({ "id": 1, "type": "error", "message": "there is no topic `none`" });
    assert_eq!(line.next().await, refused);
    line.send(json!({ "op": "sub", "id": 1, "kind": "tail", "topic": "movies" })).await;
    assert_eq!(line.next().await["type"], "snapshot");
    line.send(json!({ "op": "sub", "id": 1, "kind": "flow" })).await;
    assert_eq!(line.next().await["message"], "id 1 is in use");
    line.send(json!("nonsense")).await;
    assert_eq!(line.next().await["type"], "error");
    // The topic is deleted: its subscription says so and its id is free again.
    fake.tails.lock().unwrap().clear();
    assert_eq!(line.next().await["message"], "the topic is gone");
    line.send(json!({ "op": "sub", "id": 1, "kind": "flow" })).await;
    assert_eq!(line.next().await["type"], "snapshot");
    for id in 2..=64 {
        line.send(json!({ "op": "sub", "id": id, "kind": "query", "sql": "SELECT 1" })).await;
    }
    line.send(json!({ "op": "sub", "id": 65, "kind": "query", "sql": "SELECT 1" })).await;
    assert_eq!(line.next().await["message"], "more than 64 subscriptions");

    let mut foreign = url.as_str().into_client_request().unwrap();
    foreign.headers_mut().insert("origin", "http://evil.example".parse().unwrap());
    assert!(connect_async(foreign).await.unwrap_err().to_string().contains("403"));
}
