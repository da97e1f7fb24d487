//! Where the access token goes: to the Hub's own origin and nowhere else, whatever the Hub and others answer.

use std::sync::Arc;

use crate::support::hub::{SHARDS, model_files, same_as_local, server};
use crate::support::hub_server::{Access, COMMIT, Faults, MODEL, TOKEN, oid};
use crate::support::program::{Run, Workplace, finish};
use crate::support::web::{Seen, Site, authority, forward, hub_with_store, redirect, reply, store};

/// Runs the program on [`MODEL`] of the Hub at `endpoint`, with the token.
fn run(place: &Workplace, endpoint: &str, arguments: &[&str]) -> Run {
    let mut command = place.command();
    command.env("HF_ENDPOINT", endpoint).env("HF_HOME", place.path("hf")).env("HF_TOKEN", TOKEN);
    command.env("SSL_CERT_FILE", authority());
    finish(command.args(["--model", MODEL]).args(arguments))
}

/// Checks that the Hub's own requests carried the token: a server that nobody tells it proves nothing.
#[track_caller]
fn all_heard(site: &Site) {
    let seen = site.seen();
    let with_token = |request: &Seen| request.says(&format!("authorization: Bearer {TOKEN}"));
    assert!(!seen.is_empty() && seen.iter().all(with_token), "{seen:#?}");
}

#[test]
fn it_stays_with_the_hub_whatever_the_number_of_hops() {
    for hops in 0..3 {
        let (place, hub) = (Workplace::new(), server(Access::Private, Faults::default()));
        let foreign = Site::start(store);
        let prefix = format!("{}/{hops}", foreign.address);
        let front = Site::start(move |request| hub_with_store(&hub, request, &prefix));
        run(&place, &front.address, &["--include", "model.layers.0.self_attn.q_proj", "--top-percent", "100"])
            .succeeded();
        all_heard(&front);
        foreign.never_heard(TOKEN);
        let ranged = foreign.seen().iter().filter(|request| request.says("range: bytes=0-131071")).count();
        assert_eq!(ranged, 2 * (hops + 1), "every hop asks for the same bytes");
    }
}

#[test]
fn it_does_not_come_back_from_abroad() {
    let (place, hub) = (Workplace::new(), server(Access::Private, Faults::default()));
    let foreign = Site::start(|request| redirect(request, "302 Found", &request.path()[1..].replacen('/', "://", 1)));
    let abroad = foreign.address.clone();
    let front = Site::start(move |request| {
        if request.path().starts_with("/back/") {
            return store(&Seen { head: request.head.replacen("/back/", "/0/", 1), ..request.clone() });
        }
        let home = request.head.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
        hub_with_store(&hub, request, &format!("{abroad}/http/{home}/back"))
    });
    run(&place, &front.address, &["--dry-run"]).succeeded();
    foreign.never_heard(TOKEN);
    let back: Vec<Seen> = front.seen().into_iter().filter(|request| request.path().starts_with("/back/")).collect();
    assert!(!back.is_empty() && !back.iter().any(|request| request.says(TOKEN)), "{back:#?}");
}

#[test]
fn it_stays_with_the_hub_over_tls() {
    let (place, hub) = (Workplace::new(), server(Access::Private, Faults::default()));
    let foreign = Site::start_tls(store);
    let prefix = format!("{}/2", foreign.address);
    let front = Site::start_tls(move |request| hub_with_store(&hub, request, &prefix));
    run(&place, &front.address, &["--dry-run"]).succeeded();
    all_heard(&front);
    foreign.never_heard(TOKEN);
}

#[test]
fn nothing_is_asked_without_encryption_that_was_asked_with_it() {
    // A store that is not encrypted, and the Hub itself at another scheme.
    for leaves_at in ["/api/", "/resolve/"] {
        let (place, hub) = (Workplace::new(), server(Access::Private, Faults::default()));
        let plain = Site::start(store);
        let target = plain.address.clone();
        let front = Site::start_tls(move |request| match request.path().contains(leaves_at) {
            true => redirect(request, "302 Found", &format!("{target}/0{}", request.path())),
            false => forward(request, &hub.endpoint, request.path()),
        });
        let run = run(&place, &front.address, &["--dry-run"]);
        run.refused(1, &[&plain.address, "not encrypted", "HF_ENDPOINT"]);
        assert_eq!(plain.seen().len(), 0);
    }
}

#[test]
fn redirects_without_end_are_refused() {
    let place = Workplace::new();
    let front = Site::start(|request| redirect(request, "302 Found", &format!("{}x", request.path())));
    run(&place, &front.address, &[]).refused(1, &[&front.address, "more than 10 times", "HF_ENDPOINT"]);
    assert!(front.seen().len() < 20, "{}", front.seen().len());
    let front = Site::start(|request| redirect(request, "302 Found", "file:///etc/passwd"));
    run(&place, &front.address, &[]).refused(1, &["file", "no address of the web", "HF_ENDPOINT"]);
    let front = Site::start(|request| reply(request, "302 Found", &[], b""));
    run(&place, &front.address, &[]).refused(1, &["names no address", "HF_ENDPOINT"]);
}

/// A Hub whose list of files comes in pages: `next(number, address)` is the address of the page after that one.
fn paged(next: impl Fn(usize, &str) -> Option<String> + Send + Sync + 'static) -> Site {
    let hub = server(Access::Private, Faults::default());
    Site::start(move |request| {
        if !request.path().contains("/tree/") {
            return hub_with_store(&hub, request, "http:/");
        }
        let number = request.path().split("page=").nth(1).map_or(0, |number| number.parse().expect("a number"));
        let files: Vec<_> = model_files().into_iter().collect();
        let entry = files.get(number).map(
            |(path, bytes)| serde_json::json!({"type": "file", "oid": oid(bytes), "size": bytes.len(), "path": path}),
        );
        let listing = serde_json::Value::Array(entry.into_iter().collect()).to_string();
        let home = request.head.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
        let link = next(number, &format!("http://{home}{}", request.path().split('?').next().unwrap_or_default()));
        let link = link.map(|link| format!("<{link}>; rel=\"next\""));
        let headers: Vec<(&str, &str)> = link.iter().map(|link| ("Link", link.as_str())).collect();
        reply(request, "200 OK", &headers, listing.as_bytes())
    })
}

#[test]
fn every_page_of_a_list_is_read() {
    let place = Workplace::new();
    let count = model_files().len();
    // An empty page is not the last.
    let front = paged(move |number, address| (number < count + 1).then(|| format!("{address}?page={}", number + 1)));
    let run = run(&place, &front.address, &["--dry-run"]);
    assert!(run.succeeded().stdout.contains("28 modules in 2 files"), "{}", run.stdout);
    all_heard(&front);
}

#[test]
fn a_next_page_elsewhere_is_refused() {
    let place = Workplace::new();
    let foreign = Site::start(|request| reply(request, "200 OK", &[], b"[]"));
    let elsewhere = foreign.address.clone();
    let front = paged(move |_, _| Some(format!("{elsewhere}/api?page=1")));
    run(&place, &front.address, &["--dry-run"]).refused(1, &["next page", &foreign.address, "HF_ENDPOINT"]);
    assert_eq!(foreign.seen().len(), 0);
}

#[test]
fn pages_without_end_are_refused() {
    let place = Workplace::new();
    let front = paged(|number, address| Some(format!("{address}?page={}", number + 1)));
    run(&place, &front.address, &["--dry-run"]).refused(1, &[MODEL, "does not end within 500 pages", "HF_ENDPOINT"]);
}

#[test]
fn a_place_that_knows_no_such_model_says_so_in_whatever_words() {
    let place = Workplace::new();
    let front = Site::start(|request| reply(request, "404 Not Found", &[], b"nothing here"));
    run(&place, &front.address, &["--dry-run"]).refused(1, &["the Hub has no model", MODEL]);
    let front = Site::start(|request| reply(request, "200 OK", &[], b"<html>welcome</html>"));
    run(&place, &front.address, &["--dry-run"]).refused(1, &["is not usable", "HF_ENDPOINT"]);
}

#[test]
fn an_answer_that_is_far_too_long_is_refused() {
    let place = Workplace::new();
    let front = Site::start(|request| reply(request, "200 OK", &[], &vec![b' '; 17 << 20]));
    run(&place, &front.address, &["--dry-run"]).refused(1, &[MODEL, "it has more than 16777216 bytes"]);
}

/// A mirror that sends everything on to `hub`.
fn mirror(hub: &Site) -> Site {
    let target = hub.address.clone();
    Site::start(move |request| redirect(request, "308 Permanent Redirect", &format!("{target}{}", request.path())))
}

#[test]
fn a_mirror_that_leads_to_the_hub_is_followed_without_it() {
    let (place, hub) = (Workplace::new(), Arc::new(server(Access::Open, Faults::default())));
    let behind = Arc::clone(&hub);
    let original = Site::start(move |request| forward(request, &behind.endpoint, request.path()));
    let mirror = mirror(&original);
    run(&place, &mirror.address, &[]).succeeded();
    same_as_local(&place);
    all_heard(&mirror);
    original.never_heard(TOKEN);
    let manifest = place.json("laser_scan_Mistral-0B_run.json");
    assert_eq!(manifest["commit"], COMMIT);
    assert_eq!(manifest["files"][1]["etag"], crate::support::hub_server::sha256(&model_files()[SHARDS[1]]));
}

#[test]
fn a_mirror_that_leads_to_where_it_is_needed_says_so() {
    let (place, hub) = (Workplace::new(), server(Access::Private, Faults::default()));
    let original = Site::start(move |request| forward(request, &hub.endpoint, request.path()));
    let mirror = mirror(&original);
    run(&place, &mirror.address, &[]).refused(1, &[&original.address, "asks for an access token", "HF_ENDPOINT"]);
    original.never_heard(TOKEN);
}

#[test]
fn a_mirror_that_leads_to_no_hub_is_refused() {
    let (place, hub) = (Workplace::new(), server(Access::Open, Faults::default()));
    let other = Site::start(|request| reply(request, "200 OK", &[("ETag", "\"abc\"")], b"{}"));
    let target = other.address.clone();
    let mirror = Site::start(move |request| match request.path().contains("/resolve/") {
        true => redirect(request, "308 Permanent Redirect", &format!("{target}{}", request.path())),
        false => forward(request, &hub.endpoint, request.path()),
    });
    run(&place, &mirror.address, &[]).refused(1, &[&other.address, "does not answer as a Hub", "HF_ENDPOINT"]);
    other.never_heard(TOKEN);
}

#[test]
fn a_token_in_the_environment_that_is_not_to_be_used_is_not() {
    let (place, hub) = (Workplace::new(), server(Access::Open, Faults::default()));
    let front = Site::start(move |request| forward(request, &hub.endpoint, request.path()));
    let mut command = place.command();
    command.env("HF_ENDPOINT", &front.address).env("HF_HOME", place.path("hf")).env("HF_TOKEN", TOKEN);
    command.env("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1");
    finish(command.args(["--model", MODEL, "--dry-run"])).succeeded();
    front.never_heard(TOKEN);
}
