//! The variables by which the Hub is reached, and how long it is waited for.

use std::fs;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use crate::support::hub::server;
use crate::support::hub_server::{Access, Faults, MODEL, TOKEN};
use crate::support::program::{Run, Workplace, finish};
use crate::support::web::{Seen, Site, authority, forward, hub_with_store, reply, store};

/// A dry run of [`MODEL`] with these variables.
fn run(place: &Workplace, variables: &[(&str, &str)]) -> Run {
    let mut command = place.command();
    command.env("HF_HOME", place.path("hf")).envs(variables.iter().copied());
    finish(command.args(["--model", MODEL, "--dry-run"]))
}

#[test]
fn a_token_that_cannot_be_sent_is_explained() {
    let (place, hub) = (Workplace::new(), server(Access::Open, Faults::default()));
    let endpoint = ("HF_ENDPOINT", hub.endpoint.as_str());
    run(&place, &[endpoint, ("HF_TOKEN", "hf_one\nhf_two")]).refused(1, &["HF_TOKEN", "line break"]);
    run(&place, &[endpoint, ("HUGGING_FACE_HUB_TOKEN", "hf_é")]).refused(1, &["HUGGING_FACE_HUB_TOKEN", "character"]);
    run(&place, &[endpoint, ("HF_TOKEN", "hf_ab cd")]).refused(1, &["HF_TOKEN", "a space"]);
    run(&place, &[endpoint, ("HF_TOKEN", "hf_\u{7f}")]).refused(1, &["HF_TOKEN", "character"]);
    fs::create_dir_all(place.path("hf")).expect("created");
    fs::write(place.path("hf/token"), "hf_one\r\nhf_two\r\n").expect("written");
    run(&place, &[endpoint]).refused(1, &["hf/token", "line break"]);
    assert_eq!(hub.log(), [""; 0]);
    // Breaks around a token are usual.
    run(&place, &[endpoint, ("HF_TOKEN", "\nhf_one\r\n")]).succeeded();
}

#[test]
fn an_endpoint_that_is_none_is_explained() {
    let place = Workplace::new();
    let cases = [
        ("hf-mirror.com", "https://"),
        ("localhost:1", "https://"),
        ("ftp://hf.co", "huggingface.co"),
        ("/", "https://"),
        ("https://", "huggingface.co"),
        ("https://hf.co?a=b", "huggingface.co"),
        ("https://a b", "huggingface.co"),
    ];
    for (endpoint, advice) in cases {
        run(&place, &[("HF_ENDPOINT", endpoint)]).refused(1, &["HF_ENDPOINT", endpoint, advice]);
    }
}

#[test]
fn paths_in_variables_are_expanded_as_in_python() {
    let hub = server(Access::Private, Faults::default());
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[("HF_HOME", "$PLACE/${NAME}"), ("HF_TOKEN", TOKEN)], "here/named/hub"),
        (&[("HF_HOME", "~/at_home"), ("HF_TOKEN", TOKEN)], "at_home/hub"),
        (&[("HF_HUB_CACHE", "~/$NAME"), ("HF_TOKEN", TOKEN)], "named"),
        (&[("HUGGINGFACE_HUB_CACHE", "$PLACE/$UNSET"), ("HF_TOKEN", TOKEN)], "here/$UNSET"),
        (&[("XDG_CACHE_HOME", "${PLACE}/xdg"), ("HF_TOKEN", TOKEN)], "here/xdg/huggingface/hub"),
        (&[("HF_TOKEN_PATH", "$PLACE/the_token"), ("HF_HOME", "~/other")], "other/hub"),
    ];
    for (variables, expected) in cases {
        let place = Workplace::new();
        let mut command = place.command();
        command.env("PLACE", place.path("here")).env("NAME", "named").env_remove("UNSET");
        fs::create_dir_all(place.path("here")).expect("created");
        fs::write(place.path("here/the_token"), TOKEN).expect("written");
        command.env("HF_ENDPOINT", &hub.endpoint).envs(variables.iter().copied());
        finish(command.args(["--model", MODEL, "--dry-run"])).succeeded();
        assert!(place.path(expected).join("models--tiny--Mistral-0B").is_dir(), "{variables:?}: {:?}", place.files());
    }
}

/// A Hub that answers the first request of each kind with a refusal, and all others as it should.
fn refusing_once(refuse: impl Fn(&Seen) -> Option<Vec<u8>> + Send + Sync + 'static) -> Site {
    let (hub, refused) = (server(Access::Open, Faults::default()), Mutex::new(Vec::new()));
    Site::start(move |request| {
        let mut refused = refused.lock().expect("no panic");
        if let Some(refusal) = refuse(request).filter(|_| !refused.contains(&request.line().to_owned())) {
            refused.push(request.line().to_owned());
            return refusal;
        }
        drop(refused);
        forward(request, &hub.endpoint, request.path())
    })
}

/// Checks that no request was made again before `pause` was over.
#[track_caller]
fn waited(site: &Site, is_meant: impl Fn(&Seen) -> bool, pause: Duration) {
    let seen: Vec<Seen> = site.seen().into_iter().filter(is_meant).collect();
    let mut again = 0;
    for (place, first) in seen.iter().enumerate() {
        if seen[..place].iter().any(|other| other.line() == first.line()) {
            continue;
        }
        if let Some(second) = seen[place + 1..].iter().find(|other| other.line() == first.line()) {
            again += 1;
            assert!(second.at - first.at >= pause, "{}: {:?}", first.line(), second.at - first.at);
        }
    }
    assert!(again > 0, "{seen:?}");
}

#[test]
fn every_request_waits_as_long_as_the_hub_asks() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let place = Workplace::new();
        // Of what hf-hub is refused, only a 429 says how long to wait.
        let is_meant = move |request: &Seen| status.starts_with("429") || !request.line().ends_with(".json");
        let hub = refusing_once(move |request| {
            is_meant(request).then(|| reply(request, status, &[("Retry-After", "2")], b"{}"))
        });
        let run = run(&place, &[("HF_ENDPOINT", &hub.address)]);
        assert!(run.succeeded().stderr.contains("asks to wait 2 s: trying again in 2 s"), "{}", run.stderr);
        waited(&hub, is_meant, Duration::from_secs(2));
    }
}

#[test]
fn a_date_to_come_back_at_is_waited_for() {
    let place = Workplace::new();
    let hub = refusing_once(|request| {
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3));
        let refusal = || reply(request, "503 Service Unavailable", &[("Retry-After", &date)], b"{}");
        request.path().contains("/revision/").then(refusal)
    });
    let run = run(&place, &[("HF_ENDPOINT", &hub.address)]);
    assert!(run.succeeded().stderr.contains("asks to wait"), "{}", run.stderr);
    // The date has whole seconds.
    waited(&hub, |request| request.path().contains("/revision/"), Duration::from_millis(1900));
}

#[test]
fn a_pause_that_is_too_long_is_left_to_the_person() {
    let place = Workplace::new();
    for (status, says) in [("429 Too Many Requests", "limits the rate"), ("503 Service Unavailable", "not available")] {
        let hub = Site::start(move |request| reply(request, status, &[("Retry-After", "86400")], b"{}"));
        run(&place, &[("HF_ENDPOINT", &hub.address)]).refused(1, &[says, "asks to wait 86400 s", "run the same line"]);
        assert_eq!(hub.seen().len(), 1);
    }
}

#[test]
fn a_download_waits_as_long_as_the_store_asks() {
    let place = Workplace::new();
    let hub = refusing_once(|request| {
        let is_whole = request.line().contains(".safetensors") && !request.says("range:");
        let is_shard = is_whole && request.line().starts_with("GET");
        is_shard.then(|| reply(request, "503 Service Unavailable", &[("Retry-After", "2")], b""))
    });
    let mut command = place.command();
    command.env("HF_ENDPOINT", &hub.address).env("HF_HOME", place.path("hf"));
    let run = finish(command.args(["--model", MODEL, "--include", "model.layers.0.self_attn.q_proj"]));
    assert!(run.succeeded().stderr.contains("asks to wait 2 s); going on in 2 s"), "{}", run.stderr);
}

#[test]
fn an_authority_of_ones_own_is_named_by_a_variable() {
    let (place, hub) = (Workplace::new(), server(Access::Open, Faults::default()));
    let store = Site::start_tls(store);
    let prefix = format!("{}/0", store.address);
    let front = Site::start_tls(move |request| hub_with_store(&hub, request, &prefix));
    let endpoint = ("HF_ENDPOINT", front.address.as_str());
    let variables = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
    run(&place, &[endpoint]).refused(1, &[&["localhost", "UnknownIssuer"], &variables[..]].concat());
    for variable in variables {
        run(&place, &[endpoint, (variable, &authority())]).succeeded();
    }
    // A folder of certificates, beside other files.
    fs::create_dir_all(place.path("folder")).expect("created");
    fs::copy(authority(), place.path("folder/0a1b2c3d.0")).expect("copied");
    fs::write(place.path("folder/README"), "the company's certificates").expect("written");
    let folder = place.path("folder").to_string_lossy().into_owned();
    run(&place, &[endpoint, ("REQUESTS_CA_BUNDLE", &folder)]).succeeded();
    // As in Python, the first of them counts alone.
    let missing = place.path("missing.pem").to_string_lossy().into_owned();
    let both = [endpoint, ("REQUESTS_CA_BUNDLE", &*missing), ("CURL_CA_BUNDLE", &authority())];
    run(&place, &both).refused(1, &["missing.pem", "REQUESTS_CA_BUNDLE"]);
    fs::write(place.path("missing.pem"), "no certificate").expect("written");
    run(&place, &both).refused(1, &["missing.pem", "no certificate in PEM form"]);
}
