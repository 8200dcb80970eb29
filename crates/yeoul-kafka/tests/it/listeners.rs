//! Listeners: what each tells its clients of where to come back.

use std::net::SocketAddr;

use yeoul_kafka::{KafkaOptions, Listener};
use yeoul_kafka_wire::api::describe_cluster::DescribeClusterRequest;
use yeoul_kafka_wire::api::find_coordinator::FindCoordinatorRequest;
use yeoul_kafka_wire::api::metadata::MetadataRequest;

use crate::Served;
use crate::client::Client;

async fn listening(texts: &[&str]) -> Served {
    let listeners = texts.iter().map(|text| Listener::parse(text).expect("an address")).collect();
    Served::on(listeners, KafkaOptions::default()).await
}

/// What Metadata, DescribeCluster and FindCoordinator say, which must be the same.
async fn told(at: SocketAddr) -> (String, u16) {
    let mut client = Client::connect(at).await;
    let metadata = client.call(12, MetadataRequest::default()).await;
    assert_eq!((metadata.controller_id, metadata.brokers.len()), (1, 1));
    assert_eq!(metadata.cluster_id.as_deref(), Some("yeoul"));
    let broker = metadata.brokers[0].clone();
    assert_eq!((broker.node_id, broker.rack), (1, None));
    let cluster = client.call(1, DescribeClusterRequest::default()).await;
    assert_eq!((cluster.controller_id, cluster.cluster_id.as_str()), (1, "yeoul"));
    let same = &cluster.brokers[0];
    assert_eq!((&same.host, same.port), (&broker.host, broker.port));
    let request =
        FindCoordinatorRequest { coordinator_keys: vec!["g".into()], ..Default::default() };
    let coordinator = client.call(4, request).await.coordinators[0].clone();
    assert_eq!((&coordinator.host, coordinator.port), (&broker.host, broker.port));
    (broker.host, u16::try_from(broker.port).expect("a port"))
}

#[tokio::test]
async fn each_listener_tells_its_own_address() {
    let served =
        listening(&["127.0.0.1:0", "127.0.0.1:0=kafka:19092", "127.0.0.1:0=[fd00::7]"]).await;
    let [plain, named, six] = served.addrs[..] else { panic!("three listeners") };
    assert_eq!(told(plain).await, ("127.0.0.1".to_owned(), plain.port()));
    assert_eq!(told(named).await, ("kafka".to_owned(), 19_092));
    assert_eq!(told(six).await, ("fd00::7".to_owned(), six.port()));
    served.stop().await;
}

#[tokio::test]
async fn a_listener_on_every_address_tells_the_one_the_client_came_to() {
    let served = listening(&["0.0.0.0:0"]).await;
    for ip in ["127.0.0.1", "127.0.0.2"] {
        let at: SocketAddr = format!("{ip}:{}", served.addr.port()).parse().expect("an address");
        assert_eq!(told(at).await, (ip.to_owned(), at.port()));
    }
    served.stop().await;
}

#[tokio::test]
async fn localhost_answers_on_both_families() {
    let served = listening(&["localhost:0"]).await;
    assert_eq!(served.addrs.len(), 1, "one listener");
    let port = served.addr.port();
    assert_eq!(told(served.addr).await, ("127.0.0.1".to_owned(), port));
    let six: SocketAddr = format!("[::1]:{port}").parse().expect("an address");
    // A machine without IPv6 has nothing to answer on.
    if tokio::net::TcpListener::bind("[::1]:0").await.is_ok() {
        assert_eq!(told(six).await, ("::1".to_owned(), port));
    }
    served.stop().await;
}

#[tokio::test]
async fn an_ipv6_listener_serves_both_kinds_of_clients() {
    if tokio::net::TcpListener::bind("[::1]:0").await.is_err() {
        return;
    }
    let served = listening(&["[::]:0"]).await;
    let port = served.addr.port();
    let six: SocketAddr = format!("[::1]:{port}").parse().expect("an address");
    assert_eq!(told(six).await, ("::1".to_owned(), port));
    let four: SocketAddr = format!("127.0.0.1:{port}").parse().expect("an address");
    assert_eq!(told(four).await, ("127.0.0.1".to_owned(), port));
    served.stop().await;
}
