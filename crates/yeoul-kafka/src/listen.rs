//! Where to listen, and what clients are told of where to come back.
//!
//! A client connects to where it was sent, then goes on at the address it is told. So every
//! listener tells its own: the one inside a container network another than the one on the host.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpListener, lookup_host};

/// Port 0 on both families: tries until one is free on both.
const TRIES: usize = 16;

/// Where to listen, and under which name clients are told to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `host:port`; port 0 takes a free one. `localhost` is 127.0.0.1 and, where the machine has
    /// it, `::1`.
    pub bind: String,
    /// `host[:port]` as clients reach it, the port as bound when there is none (or 0); without
    /// it, the address each client came to.
    pub advertise: Option<String>,
}

/// What clients of a listener are told; what is `None` is as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Advertised {
    host: Option<String>,
    port: Option<u16>,
}

impl Listener {
    /// Reads `LISTEN[=ADVERTISE]`, as on the command line.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (bind, advertise) = match text.split_once('=') {
            Some((bind, advertise)) => (bind, Some(advertise.to_owned())),
            None => (text, None),
        };
        refuse_protocol(bind)?;
        let has_port = bind.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok() && !is_bare_ipv6(bind)
        });
        if !has_port {
            return Err(format!(
                "`{bind}` is not an address: give host:port, such as 127.0.0.1:9092 or [::1]:9092"
            ));
        }
        let listener = Self { bind: bind.to_owned(), advertise };
        listener.advertised()?;
        Ok(listener)
    }

    pub(crate) fn advertised(&self) -> Result<Advertised, String> {
        self.advertise.as_deref().map_or(Ok(Advertised::default()), Advertised::parse)
    }

    /// Binds its sockets: one, or for `localhost` one for each family, with the same port.
    ///
    /// # Errors
    /// An address that does not resolve or is taken.
    pub async fn sockets(&self) -> io::Result<Vec<TcpListener>> {
        let localhost = self.bind.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        match localhost {
            Some(port) => bind_localhost(port).await,
            None => {
                let addrs: Vec<_> = lookup_host(&self.bind).await?.collect();
                Ok(vec![TcpListener::bind(addrs.as_slice()).await?])
            }
        }
    }
}

impl Advertised {
    fn parse(text: &str) -> Result<Self, String> {
        refuse_protocol(text)?;
        let wrong = || format!("`{text}` is no address to come back to: give host:port after `=`");
        let (host, port) = if is_bare_ipv6(text) {
            (text, None)
        } else if let Some(rest) = text.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
            let port = match port {
                "" => None,
                port => Some(port.strip_prefix(':').ok_or_else(wrong)?),
            };
            host.parse::<Ipv6Addr>().map_err(|_| wrong())?;
            (host, port)
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        let port = port.map(|port| port.parse::<u16>().map_err(|_| wrong())).transpose()?;
        if host.is_empty() {
            return Err(wrong());
        }
        if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
            return Err(format!(
                "`{host}` means every address of this machine; clients need one: a name or \
                 address by which they reach it"
            ));
        }
        // Port 0 stands for the one that was taken.
        Ok(Self { host: Some(host.to_owned()), port: port.filter(|port| *port != 0) })
    }

    /// For a client that came to `local`, which it can reach by definition.
    pub(crate) fn host_and_port(&self, local: SocketAddr) -> (String, u16) {
        let came_to = || local.ip().to_canonical().to_string();
        (self.host.clone().unwrap_or_else(came_to), self.port.unwrap_or(local.port()))
    }
}

/// Kafka's own settings have a protocol in front, ours do not.
fn refuse_protocol(text: &str) -> Result<(), String> {
    match text.split_once("://") {
        Some((_, rest)) => Err(format!("`{text}`: give the address alone, `{rest}`")),
        None => Ok(()),
    }
}

fn is_bare_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// Clients try either family first, so both have to answer.
async fn bind_localhost(port: u16) -> io::Result<Vec<TcpListener>> {
    let mut tries = 0;
    loop {
        tries += 1;
        let four = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let taken = four.local_addr()?.port();
        let six = SocketAddr::from((Ipv6Addr::LOCALHOST, taken));
        match TcpListener::bind(six).await {
            Ok(six) => return Ok(vec![four, six]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if port != 0 || tries == TRIES {
                    return Err(io::Error::new(error.kind(), format!("{six}: {error}")));
                }
            }
            Err(error) => {
                tracing::info!(port = taken, %error, "no IPv6 on this machine: localhost is 127.0.0.1 only");
                return Ok(vec![four]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_may_advertise_another_name() {
        let plain = Listener::parse("127.0.0.1:9092").expect("plain");
        assert_eq!(plain, Listener { bind: "127.0.0.1:9092".into(), advertise: None });
        let both = Listener::parse("0.0.0.0:9093=kafka:9093").expect("both");
        assert_eq!(both.advertise.as_deref(), Some("kafka:9093"));
        for wrong in [
            "9092",
            "localhost",
            ":9092",
            "::1",
            "PLAINTEXT://localhost:9092",
            "localhost:9092=",
            "localhost:9092=:9092",
            "localhost:9092=kafka:port",
            "localhost:9092=[::1",
            "localhost:9092=http://kafka:9092",
            "0.0.0.0:9092=0.0.0.0:9092",
            "[::]:9092=[::]",
        ] {
            assert!(Listener::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn clients_are_told_what_was_given_and_else_where_they_came_to() {
        let local: SocketAddr = "10.0.0.7:41230".parse().expect("an address");
        for (advertise, host, port) in [
            (None, "10.0.0.7", 41_230),
            (Some("kafka"), "kafka", 41_230),
            (Some("kafka:0"), "kafka", 41_230),
            (Some("kafka:9093"), "kafka", 9093),
            (Some("[fd00::7]:9093"), "fd00::7", 9093),
            (Some("[fd00::7]"), "fd00::7", 41_230),
            (Some("fd00::7"), "fd00::7", 41_230),
        ] {
            let listener =
                Listener { bind: "0.0.0.0:0".into(), advertise: advertise.map(str::to_owned) };
            let told = listener.advertised().expect("an address").host_and_port(local);
            assert_eq!(told, (host.to_owned(), port), "{advertise:?}");
        }
        // An IPv4 client of an IPv6 socket came to an IPv4 address.
        let mapped: SocketAddr = "[::ffff:10.0.0.7]:9092".parse().expect("an address");
        assert_eq!(Advertised::default().host_and_port(mapped), ("10.0.0.7".to_owned(), 9092));
    }

    #[tokio::test]
    async fn localhost_is_both_families_on_one_port() {
        let any = Listener::parse("localhost:0").expect("an address");
        let sockets = any.sockets().await.expect("a free port");
        let addrs: Vec<_> = sockets.iter().map(|s| s.local_addr().expect("bound")).collect();
        assert_eq!(addrs[0].ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
        if let Some(six) = addrs.get(1) {
            assert_eq!((six.ip(), six.port()), (Ipv6Addr::LOCALHOST.into(), addrs[0].port()));
        }
        let again = Listener::parse(&format!("localhost:{}", addrs[0].port())).expect("fine");
        let taken = again.sockets().await.expect_err("it is taken");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }
}
