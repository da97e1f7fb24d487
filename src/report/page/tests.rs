//! The page as a whole.

use serde_json::Value;

use super::*;
use crate::modules::Info;
use crate::report::diff;
use crate::scan::{Format, Numbers, Record, Scan, Unmeasured};
use crate::select::{Count, Rules, Types};
use crate::spectrum::{Method, Processor, Spectrum};
use crate::statistic::{Ranking, Statistic};

/// Singular values that fall from `largest`, some of them far above the others.
fn values(count: usize, largest: f64) -> Vec<f64> {
    (0..count).map(|place| largest * 0.9f64.powi(place as i32) + 0.1).collect()
}

/// A scan of these modules: name, type, layer, singular values.
fn scan(modules: &[(&str, &str, Option<usize>, Vec<f64>)]) -> Scan {
    let shape = |values: &[f64]| [values.len(), 2 * values.len()];
    let record = |(name, kind, layer, values): &(&str, &str, Option<usize>, Vec<f64>)| {
        let info = Info::of_name(name, (*kind).to_owned());
        let info = Info { layer: *layer, shape: Some(shape(values)), dtype: Some("BF16".into()), ..info };
        Record { info, result: Ok(Numbers::from(Statistic::new(values, shape(values)))) }
    };
    let spectrum = |(name, _, _, values): &(&str, &str, Option<usize>, Vec<f64>)| {
        let (values, shape) = (values.clone(), shape(values));
        ((*name).to_owned(), Spectrum { values, method: Method::Direct, processor: Processor::Cpu, shape })
    };
    let mut scan = Scan::new(modules.iter().map(record).collect(), Format::LaserScan);
    scan.spectra = Some(modules.iter().map(spectrum).collect());
    scan.ranked_by(Ranking::default(), true).expect("spectra")
}

fn two_layers() -> Scan {
    scan(&[("m.layers.0.q", "q", Some(0), values(24, 2.0)), ("m.layers.1.q", "q", Some(1), values(24, 9.0))])
}

fn page_of(scan: &Scan, against: Option<&Scan>) -> String {
    let rules = Rules { count: Count::Top(1), global: false, budget: None, types: Types::default(), layers: None };
    let selection = Selection::new(scan, &rules).expect("chosen");
    let diff = against.map(|other| diff(scan, other, 1));
    let against = diff.as_ref().map(|diff| Against { file: "b.json", diff });
    page(&Page { title: "a <model>", file: "a.json", selection: &selection, against })
}

/// What is embedded for the script.
fn data_of(page: &str) -> Value {
    let (_, rest) = page.split_once("id='data'>").expect("data");
    serde_json::from_str(rest.split_once("</script>").expect("an end").0).expect("JSON")
}

/// The page's own HTML, without style, data and script.
fn body_of(page: &str) -> &str {
    let (_, body) = page.split_once("<body>").expect("a body");
    body.split_once("<script").expect("a script").0
}

/// A scan with everything that a page can have: experts, modules without layers, infinite and missing ratios.
fn full() -> Scan {
    let flat = vec![1.0, 0.99, 0.98, 0.97];
    let mut all = scan(&[
        ("m.layers.0.experts.0.up", "experts.*.up", Some(0), values(24, 2.0)),
        ("m.layers.0.experts.1.up", "experts.*.up", Some(0), values(24, 3.0)),
        ("m.layers.1.experts.0.up", "experts.*.up", Some(1), values(24, 4.0)),
        ("m.layers.1.experts.1.up", "experts.*.up", Some(1), values(24, 5.0)),
        ("m.layers.0.v", "v", Some(0), flat.clone()),
        ("m.layers.1.v", "v", Some(1), values(24, 2.0)),
        ("conv", "conv", None, vec![3.0]),
    ]);
    let lost = Info { layer: Some(2), ..Info::of_name("m.layers.2.v", "v".into()) };
    let mut records = all.records().to_vec();
    records.push(Record { info: lost, result: Err(Unmeasured::Zero) });
    let spectra = all.spectra.take();
    let mut whole = Scan::new(records, Format::LaserScan);
    whole.spectra = spectra;
    whole
}

#[test]
fn the_map_and_the_table_have_every_module() {
    let page = page_of(&two_layers(), None);
    let tile = "<button type='button' class='tile s8 f3 chosen' data-module='0' \
        aria-label='m.layers.0.q, layer 0, snr ";
    assert!(page.contains(tile), "{}", body_of(&page));
    assert!(page.contains("rank 1 of 2, ") && page.contains(" % above the threshold, chosen' title='m.layers.0.q, "));
    let row = "<tr class='chosen' data-module='0'><td>1</td><th scope='row'><button type='button'>m.<wbr>layers.<wbr>0.<wbr>q</button>\
        </th><td>q</td><td>0</td><td>24 × 48</td>";
    assert!(page.contains(row), "{}", body_of(&page));
    assert!(page.contains("<dd>2,304 in the ranked modules</dd>") && page.contains("<dd>BF16</dd>"));
}

#[test]
fn names_cannot_become_markup() {
    let evil = "</script><!--</style><script>\"'\u{202e}\u{2028}";
    let scan = scan(&[(evil, evil, Some(0), values(9, 2.0)), ("b", evil, Some(1), values(9, 3.0))]);
    let page = page_of(&scan, Some(&scan));
    assert!(page.contains("<h1>a &#60;model&#62;</h1>"));
    let body = body_of(&page);
    assert!(!body.contains("<script") && !body.contains("<!--") && !body.contains(['\u{202e}', '\u{2028}']), "{body}");
    assert_eq!(page.matches("</script>").count(), 2, "the data and the script have one end each");
    assert_eq!(data_of(&page)["modules"]["name"][0], evil, "and the name is what it was");
}

#[test]
fn infinite_and_missing_ratios_are_said() {
    let page = page_of(&full(), None);
    assert!(page.contains("snr ∞, rank 1 of 2, 100 % above the threshold, chosen'"), "{}", body_of(&page));
    assert!(page.contains("aria-label='m.layers.2.v, layer 2, not ranked'"));
    assert!(page.contains("; the best of 2, "), "experts of a layer have one tile");
    assert!(page.contains("v: 1 of 2 ratios are infinite."), "the caution is near the top");
}

#[test]
fn experts_have_a_map_of_their_own() {
    let page = page_of(&full(), None);
    assert!(page.contains("aria-label='experts.*.up: 2 layers by 2 experts'"), "{}", body_of(&page));
    let data = data_of(&page);
    assert_eq!(data["modules"]["column"], serde_json::json!([0, 1, 0, 1, null, null, null, null]));
}

#[test]
fn the_lead_says_what_this_scan_has() {
    let page = page_of(&two_layers(), None);
    let share = data_of(&page)["modules"]["above"][1].as_f64().expect("a count") / 24.0;
    assert!(
        page.contains(&format!("the module in the middle has {:.0} % of its", 100.0 * share)),
        "{}",
        body_of(&page)
    );
    assert!(page.contains("docs/statistic.md"));
}

#[test]
fn without_spectra_one_sentence_says_so() {
    let mut scan = two_layers();
    let sentence = "The singular values themselves were not at hand";
    assert!(!page_of(&scan, None).contains(sentence));
    scan.spectra = None;
    let page = page_of(&scan, None);
    assert_eq!(page.matches(sentence).count(), 1);
    assert_eq!(data_of(&page)["modules"].get("spectrum"), None);
}

#[test]
fn a_second_scan_shows_how_ranks_moved() {
    let changed =
        scan(&[("m.layers.0.q", "q", Some(0), values(24, 9.0)), ("m.layers.1.q", "q", Some(1), values(24, 2.0))]);
    let page = page_of(&two_layers(), Some(&changed));
    assert!(page.contains("<h2>Compared with b.json</h2>") && page.contains("<td>−1.0000</td>"), "{}", body_of(&page));
    assert!(page.contains("<u>−1</u>") && page.contains("<u>+1</u>") && page.contains("id='by-move'"));
    assert_eq!(data_of(&page)["modules"]["ranks"], serde_json::json!([[1, 2], [2, 1]]));
    assert!(!page_of(&two_layers(), None).contains("id='by-move'"));
}

#[test]
fn the_page_is_whole_and_refers_to_nothing_else() {
    let (page, again) = (page_of(&full(), Some(&full())), page_of(&full(), Some(&full())));
    assert!(page == again, "the same scan gives the same bytes");
    assert!(page.contains("default-src 'none'") && is_page(page.as_bytes()));
    let namespace = "http://www.w3.org/2000/svg";
    assert_eq!(page.matches("http").count(), 1 + page.matches("http-equiv").count(), "only {namespace}");
    assert!(["url(", "@import", " src=", " style='"].iter().all(|text| !page.contains(text)));
    let mut open = Vec::new();
    for tag in body_of(&page).split('<').skip(1).filter_map(|text| Some(text.split_once('>')?.0)) {
        match tag.split([' ', '\n']).next().unwrap_or_default() {
            name if name.starts_with('/') => assert_eq!(open.pop(), Some(&name[1..]), "{tag}"),
            name if !["wbr", "input"].contains(&name) && !tag.ends_with('/') => open.push(name),
            _ => {}
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(!body_of(&page).contains("NaN"));
}

#[test]
fn eighteen_thousand_experts_are_no_more_than_six_megabytes() {
    let mut modules = Vec::new();
    for layer in 0..48 {
        for expert in 0..128 {
            for leaf in ["gate_proj", "up_proj", "down_proj"] {
                let name: &str = format!("model.layers.{layer}.mlp.experts.{expert}.{leaf}").leak();
                let kind: &str = format!("mlp.experts.*.{leaf}").leak();
                let values = values(64, 1.0 + (layer * 31 + expert * 17 + leaf.len()) as f64 % 97.0);
                modules.push((name, kind, Some(layer), values));
            }
        }
    }
    let scan = scan(&modules);
    let page = page_of(&scan, Some(&scan));
    assert_eq!(data_of(&page)["modules"]["name"].as_array().map(Vec::len), Some(18_432));
    assert!(page.len() < 6_000_000, "{}", page.len());
}
