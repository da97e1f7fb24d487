//! Servers on loopback that keep what every request said and answer as a test likes, with TLS or without.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::hub_server::HubServer;
use crate::support::program::in_project;

/// The certificate of the authority that the servers' own is issued by, as a PEM file.
pub fn authority() -> String {
    in_project("tests/cli/support/certificates/authority.pem")
}

/// A running server.
pub struct Site {
    /// Its address, without a slash at the end.
    pub address: String,
    requests: Arc<Mutex<Vec<Seen>>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The first line and all headers.
    pub head: String,
    /// When it came.
    pub at: Instant,
}

impl Seen {
    /// The method and the path, such as `GET /a/b`.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1")
    }

    pub fn path(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    pub fn says(&self, text: &str) -> bool {
        self.head.to_lowercase().contains(&text.to_lowercase())
    }
}

impl Site {
    /// A server without TLS.
    pub fn start(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::serve(None, answer)
    }

    /// A server with a certificate that [`authority`] has issued.
    pub fn start_tls(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let file = |name: &str| in_project(&format!("tests/cli/support/certificates/{name}"));
        let certificate = CertificateDer::from_pem_file(file("server.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        Self::serve(Some(Arc::new(config.with_single_cert(vec![certificate], key).expect("a pair"))), answer)
    }

    fn serve(tls: Option<Arc<ServerConfig>>, answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let address =
            if tls.is_some() { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") };
        let requests: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (kept, answer) = (Arc::clone(&requests), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, kept, answer) = (tls.clone(), Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    // A client that goes away is no failure here: what it must not do is checked in what it asked.
                    let _ = match tls {
                        None => converse(&stream, &kept, &*answer),
                        Some(config) => {
                            let connection = ServerConnection::new(config).expect("a connection");
                            converse(StreamOwned::new(connection, stream), &kept, &*answer)
                        }
                    };
                });
            }
        });
        Self { address, requests }
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.requests.lock().expect("no panic").clone()
    }

    /// Checks that requests have come, and that none of them said `secret` anywhere.
    #[track_caller]
    pub fn never_heard(&self, secret: &str) {
        let seen = self.seen();
        assert!(!seen.is_empty(), "nothing was asked of {}", self.address);
        assert!(!seen.iter().any(|request| request.says(secret) || request.says("authorization")), "{seen:#?}");
    }
}

/// Answers one request, and closes the connection.
fn converse(
    stream: impl Read + Write,
    kept: &Mutex<Vec<Seen>>,
    answer: &dyn Fn(&Seen) -> Vec<u8>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let seen = Seen { head, at: Instant::now() };
    kept.lock().expect("no panic").push(seen.clone());
    let stream = stream.get_mut();
    stream.write_all(&answer(&seen))?;
    stream.flush()
}

/// An answer to `request`.
pub fn reply(request: &Seen, status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    answer.push_str("\r\n");
    let body = if request.head.starts_with("HEAD ") { b"" } else { body };
    [answer.as_bytes(), body].concat()
}

/// An answer that sends `request` on to `location`.
pub fn redirect(request: &Seen, status: &str, location: &str) -> Vec<u8> {
    reply(request, status, &[("Location", location)], b"")
}

/// What the server at `address`, such as `127.0.0.1:80`, answers to `request` at `path`.
pub fn forward(request: &Seen, address: &str, path: &str) -> Vec<u8> {
    let mut upstream = TcpStream::connect(address.trim_start_matches("http://")).expect("a connection");
    let head = request.head.replacen(request.path(), path, 1);
    upstream.write_all(head.as_bytes()).expect("written");
    upstream.shutdown(Shutdown::Write).expect("half closed");
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).expect("an answer");
    // The connection to the client ends with this answer, too.
    let first = answer.iter().position(|byte| *byte == b'\n').expect("a status line") + 1;
    answer.splice(first..first, *b"Connection: close\r\n");
    answer
}

/// `answer` with another text in place of one in its head.
pub fn with_head(answer: &[u8], replace: impl Fn(&str) -> String) -> Vec<u8> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let head = std::str::from_utf8(&answer[..end]).expect("text");
    [replace(head).as_bytes(), &answer[end..]].concat()
}

/// A host that is not the Hub: what it is asked for it sends on within itself, `/2/…` to `/1/…` to `/0/…`, and gives
/// then what the address in the path gives.
pub fn store(request: &Seen) -> Vec<u8> {
    let (hops, rest) = request.path()[1..].split_once('/').expect("a number of hops");
    let (address, file) = rest.split_once('/').expect("an address");
    match hops.parse::<u32>().expect("a number") {
        0 => forward(request, address, &format!("/{file}")),
        hops => redirect(request, "302 Found", &format!("/{}/{rest}", hops - 1)),
    }
}

/// What `hub` answers, with its large files behind `prefix` in place of its own store.
pub fn hub_with_store(hub: &HubServer, request: &Seen, prefix: &str) -> Vec<u8> {
    let answer = forward(request, &hub.endpoint, request.path());
    with_head(&answer, |head| head.replace("Location: http://", &format!("Location: {prefix}/")))
}
