//! A server on loopback that behaves as the Hugging Face Hub does: the API on one address, large files on another.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// The commit that the main branch stands for.
pub const COMMIT: &str = "26bca36bde8333b5d7f72e9ed20ccda6a618af24";

/// The model that the server has.
pub const MODEL: &str = "tiny/Mistral-0B";

/// The token that opens a private model.
pub const TOKEN: &str = "hf_loopback";

/// How long a file is held that nobody sets free.
const PATIENCE: Duration = Duration::from_secs(120);

/// How the server treats those who ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Everyone may read.
    #[default]
    Open,
    /// To those without the token the model does not exist.
    Private,
    /// Everyone may see the model, but its files are for those whom its authors let in.
    Gated,
}

/// What the server does wrong, and how often it still will.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Answers 429 this many times.
    pub rate_limits: u32,
    /// Answers 503 this many times.
    pub unavailable: u32,
    /// Cuts the connection after so many bytes of a large file, this many times.
    pub cuts: u32,
    /// The bytes after which it cuts.
    pub cut_after: usize,
    /// Ignores byte ranges.
    pub ignores_ranges: bool,
    /// Sends wrong bytes of large files.
    pub corrupts: bool,
    /// Sends no more of this file's whole, or of the rest of it, until it is set free.
    pub holds: Option<&'static str>,
    /// The bytes of it that it sends before.
    pub sends_first: usize,
}

/// A running server.
pub struct HubServer {
    pub endpoint: String,
    state: Arc<State>,
}

struct State {
    files: BTreeMap<String, Vec<u8>>,
    access: Access,
    store: String,
    faults: Mutex<Faults>,
    log: Mutex<Vec<String>>,
}

struct Request {
    method: String,
    path: String,
    authorized: bool,
    range: Option<(usize, usize)>,
}

impl HubServer {
    /// Starts a server with these files of [`MODEL`].
    pub fn start(files: BTreeMap<String, Vec<u8>>, access: Access, faults: Faults) -> Self {
        let hub = TcpListener::bind("127.0.0.1:0").expect("a port");
        let store = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("an address"));
        let endpoint = address(&hub);
        let state = Arc::new(State {
            files,
            access,
            store: address(&store),
            faults: Mutex::new(faults),
            log: Mutex::default(),
        });
        serve(hub, Arc::clone(&state), State::answer_as_hub);
        serve(store, Arc::clone(&state), State::answer_as_store);
        Self { endpoint, state }
    }

    /// The requests so far, such as `GET /config.json` or `GET store:model.safetensors 100-`.
    pub fn log(&self) -> Vec<String> {
        self.state.log.lock().expect("no panic").clone()
    }

    /// Sets free the file that is held.
    pub fn set_free(&self) {
        self.state.faults.lock().expect("no panic").holds = None;
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        self.state.log.lock().expect("no panic").clear();
    }
}

/// Answers every connection on a thread of its own.
fn serve(
    listener: TcpListener,
    state: Arc<State>,
    answer: fn(&State, &Request, &mut TcpStream) -> std::io::Result<()>,
) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                let mut stream = stream;
                while let Some(request) = read_request(&mut reader) {
                    if answer(&state, &request, &mut stream).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut request = Request { method, path, authorized: false, range: None };
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorized = value == format!("Bearer {TOKEN}"),
            "content-length" => length = value.parse().ok()?,
            "range" => {
                let (start, end) = value.strip_prefix("bytes=")?.split_once('-')?;
                request.range = Some((start.parse().ok()?, end.parse().map_or(usize::MAX, |end: usize| end + 1)));
            }
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(request)
}

impl State {
    fn note(&self, entry: String) {
        self.log.lock().expect("no panic").push(entry);
    }

    /// Whether a fault of the kind that `count` counts is still due.
    fn fault(&self, count: impl Fn(&mut Faults) -> &mut u32) -> bool {
        let mut faults = self.faults.lock().expect("no panic");
        let left = count(&mut faults);
        let due = *left > 0;
        *left = left.saturating_sub(1);
        due
    }

    fn answer_as_hub(&self, request: &Request, stream: &mut TcpStream) -> std::io::Result<()> {
        let path = request.path.split('?').next().unwrap_or_default();
        if self.fault(|faults| &mut faults.rate_limits) {
            self.note("429".into());
            return respond(stream, request, "429 Too Many Requests", &[("Retry-After", "0".into())], b"{}");
        }
        if self.fault(|faults| &mut faults.unavailable) {
            self.note("503".into());
            return respond(stream, request, "503 Service Unavailable", &[], b"{}");
        }
        let api = format!("/api/models/{MODEL}");
        let resolve = format!("/{MODEL}/resolve/");
        let hidden = self.access == Access::Private && !request.authorized;
        if let Some(rest) = path.strip_prefix(&api).filter(|_| !hidden) {
            return self.answer_api(rest, request, stream);
        }
        if let Some((revision, file)) =
            path.strip_prefix(&resolve).filter(|_| !hidden).and_then(|rest| rest.split_once('/'))
        {
            self.note(format!("{} {file}", request.method));
            assert_eq!(revision, COMMIT, "every file is read at the pinned commit");
            return self.answer_file(file, request, stream);
        }
        self.note(format!("{} {path}", request.method));
        // Those without access cannot tell a private model from one that does not exist.
        let code = [("X-Error-Code", "RepoNotFound".to_owned())];
        let status = if request.authorized { "404 Not Found" } else { "401 Unauthorized" };
        respond(stream, request, status, &code, br#"{"error":"Repository not found"}"#)
    }

    fn answer_api(&self, rest: &str, request: &Request, stream: &mut TcpStream) -> std::io::Result<()> {
        self.note(format!("{} api{rest}", request.method));
        if rest == format!("/tree/{COMMIT}") {
            let entries = self.files.iter().map(|(path, bytes)| {
                // As on the Hub, the hash of a large file is under a key that hf-hub does not read.
                let lfs = is_large(path).then(|| serde_json::json!({"oid": sha256(bytes), "size": bytes.len()}));
                serde_json::json!({"type": "file", "oid": oid(bytes), "size": bytes.len(), "path": path, "lfs": lfs})
            });
            let listing = serde_json::Value::Array(entries.collect()).to_string();
            return respond(
                stream,
                request,
                "200 OK",
                &[("Content-Type", "application/json".into())],
                listing.as_bytes(),
            );
        }
        if rest == "/revision/main" || rest == format!("/revision/{COMMIT}") {
            let info = serde_json::json!({"id": MODEL, "sha": COMMIT}).to_string();
            return respond(stream, request, "200 OK", &[("Content-Type", "application/json".into())], info.as_bytes());
        }
        let code = [("X-Error-Code", "RevisionNotFound".to_owned())];
        respond(stream, request, "404 Not Found", &code, br#"{"error":"Invalid rev id"}"#)
    }

    fn answer_file(&self, file: &str, request: &Request, stream: &mut TcpStream) -> std::io::Result<()> {
        if self.access == Access::Gated && !request.authorized {
            let code = [("X-Error-Code", "GatedRepo".to_owned())];
            return respond(
                stream,
                request,
                "403 Forbidden",
                &code,
                br#"{"error":"Access to this model is restricted"}"#,
            );
        }
        let Some(bytes) = self.files.get(file) else {
            let code = [("X-Error-Code", "EntryNotFound".to_owned())];
            return respond(stream, request, "404 Not Found", &code, b"Entry not found");
        };
        if is_large(file) {
            let headers = [
                ("Location", format!("{}/{file}", self.store)),
                ("X-Repo-Commit", COMMIT.to_owned()),
                ("X-Linked-Size", bytes.len().to_string()),
                ("X-Linked-ETag", format!("\"{}\"", sha256(bytes))),
                ("ETag", "\"of-the-redirect\"".to_owned()),
            ];
            return respond(stream, request, "302 Found", &headers, b"");
        }
        let headers = [("X-Repo-Commit", COMMIT.to_owned()), ("ETag", format!("\"{}\"", oid(bytes)))];
        respond(stream, request, "200 OK", &headers, bytes)
    }

    /// Waits until `file` is held no longer, or as long as a test should take.
    fn wait_until_free(&self, file: &str) {
        let begun = Instant::now();
        while self.faults.lock().expect("no panic").holds == Some(file) && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The store of large files knows neither tokens nor commits.
    fn answer_as_store(&self, request: &Request, stream: &mut TcpStream) -> std::io::Result<()> {
        let file = request.path.trim_start_matches('/');
        let Some(bytes) = self.files.get(file) else {
            return respond(stream, request, "404 Not Found", &[], b"");
        };
        let Faults { ignores_ranges, corrupts, cut_after, holds, sends_first, .. } =
            self.faults.lock().expect("no panic").clone();
        let range = request.range.filter(|_| !ignores_ranges);
        let (start, end) = range.map_or((0, bytes.len()), |(start, end)| (start, end.min(bytes.len())));
        if request.method == "GET" {
            self.note(match request.range {
                Some((start, end)) if end < bytes.len() => format!("GET store:{file} {start}-{end}"),
                Some((start, _)) => format!("GET store:{file} {start}-"),
                None => format!("GET store:{file}"),
            });
        }
        let mut body = bytes[start..end].to_vec();
        if corrupts && end == bytes.len() {
            let last = body.len() - 1;
            body[last] ^= 1;
        }
        let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
        let headers = [("ETag", "\"of-the-store\"".to_owned())];
        // Headers of shards are read by ranges that begin with the file.
        let is_download = request.method == "GET" && request.range.is_none_or(|(start, _)| start > 0);
        if is_download && holds == Some(file) {
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len())?;
            let (first, rest) = body.split_at(sends_first.min(body.len()));
            stream.write_all(first)?;
            stream.flush()?;
            self.wait_until_free(file);
            stream.write_all(rest)?;
            return stream.flush();
        }
        // Only whole files are cut: the header of a shard comes in one piece.
        if request.method == "GET"
            && end == bytes.len()
            && body.len() > cut_after
            && self.fault(|faults| &mut faults.cuts)
        {
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len())?;
            stream.write_all(&body[..cut_after])?;
            stream.flush()?;
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        respond(stream, request, status, &headers, &body)
    }
}

fn respond(
    stream: &mut TcpStream,
    request: &Request,
    status: &str,
    headers: &[(&str, String)],
    body: &[u8],
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(body)?;
    }
    stream.flush()
}

/// Whether the Hub keeps a file in its store of large files.
fn is_large(file: &str) -> bool {
    file.ends_with(".safetensors") || file.ends_with(".bin")
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash as short as git's; which one it is does not matter to a client.
pub fn oid(bytes: &[u8]) -> String {
    sha256(bytes)[..40].to_owned()
}
