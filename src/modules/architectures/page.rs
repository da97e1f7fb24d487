//! The documentation's page of architectures, made from the tables that the program uses.

use std::fmt::{Display, Write};
use std::path::Path;

use serde_json::Value;

use super::TABLE;
use super::row::{Architecture, InputFirst, Layout, Odd, PLAIN, Refused};

const PAGE: &str = "docs/architectures.md";

/// How long a line may be where it can be broken.
const WIDTH: usize = 118;

const HEAD: &str = "\
<!-- Made from the code by src/modules/architectures/page.rs. -->

# Architectures

[How modules are found](models.md#how-modules-are-found) says what these tables are for. The program knows the classes
of these libraries:

";

const TESTED: &str = "\
A test reads small checkpoints, which transformers or diffusers wrote, and compares what is found in each with what the
library has in memory after loading it. There are ";

const ROWS: &str = "\
## Fused weights, and what else is particular

`--split-fused` measures the parts of a fused weight, too. The last column says, among other things, where a trainer must
take care. `#` stands for any number.

";

/// The tables of what libraries load, and whether they tell classes by `model_type`.
const LIBRARIES: [(&str, bool); 3] = [("transformers5", true), ("transformers4", true), ("diffusers", false)];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// How many classes of how many types are known of each library.
fn libraries() -> String {
    let mut text = "| library | model types | classes |\n|---|---|---|\n".to_owned();
    for (file, has_types) in LIBRARIES {
        let table: Value = serde_json::from_str(&read(&format!("src/modules/loading/{file}.json"))).expect("JSON");
        let count = |key: &str| table[key].as_object().expect("an object").len();
        let types = if has_types { count("types").to_string() } else { "each class is one".to_owned() };
        let made = table["made"].as_str().expect("a text");
        writeln!(text, "| {made} | {types} | {} |", count("classes")).expect("memory");
    }
    text
}

/// The names of the small checkpoints that tests are run on.
fn tested() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/catalogue/families");
    let files = std::fs::read_dir(folder).expect("readable").flatten();
    let mut names: Vec<String> =
        files.filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".json")?.to_owned())).collect();
    names.sort_unstable();
    let text = format!("{TESTED}{} of them: {}.", names.len(), coded(names.iter()));
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("one line at least");
        match last.len() {
            0 => last.push_str(word),
            length if length + word.len() < WIDTH => *last += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n") + "\n"
}

fn rows() -> String {
    let mut text =
        "| architectures | fused weights and their parts | what else is particular |\n|---|---|---|\n".to_owned();
    let all = || listed(PLAIN.fused.iter().map(|(name, layout)| divided(name, *layout)));
    writeln!(text, "| all | {} | |", all()).expect("memory");
    for row in TABLE.into_iter().flatten() {
        let own = row.fused.iter().filter(|known| !PLAIN.fused.contains(known));
        let fused = listed(own.map(|(name, layout)| divided(name, *layout)));
        let particular = particular(row).join("; ");
        if !(fused.is_empty() && particular.is_empty()) {
            writeln!(text, "| {} | {fused} | {particular} |", coded(row.names.iter())).expect("memory");
        }
    }
    text
}

fn listed(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn coded(names: impl Iterator<Item = impl Display>) -> String {
    listed(names.map(|name| format!("`{name}`")))
}

fn divided(name: &str, layout: Layout) -> String {
    format!("`{name}`: {}", parts(layout))
}

/// The parts of a fused weight in their order.
fn parts(layout: Layout) -> String {
    match layout {
        Layout::Blocks(names) => names.join(" "),
        Layout::Alternating(names) => format!("{} in turn", names.join(" ")),
        Layout::PerHead(names) => format!("{} of each head", names.join(" ")),
        Layout::PerPart(count, names) => format!("{} of each of {count} parts", names.join(" ")),
        Layout::QueryKeyValue => "q k v by their heads".to_owned(),
        Layout::Falcon => "q k v of each group, or of each head".to_owned(),
        Layout::BigCode => "q k v, or those of each head".to_owned(),
        Layout::GatedDeltaQkvz => "q k v z of each key head".to_owned(),
        Layout::GatedDeltaBa => "b a of each key head".to_owned(),
        Layout::GatedDeltaQkv => "q k v by their heads".to_owned(),
        Layout::Mamba2 => "gate xBC dt".to_owned(),
    }
}

fn particular(row: &Architecture) -> Vec<String> {
    let mut told = Vec::new();
    if !row.stacks.is_empty() {
        told.push(format!("stacks of experts: {}", coded(row.stacks.iter().map(|(name, _)| name))));
    }
    match row.input_first {
        InputFirst::Nothing => {}
        InputFirst::Experts => told.push("experts are stored as `[in, out]`".to_owned()),
        InputFirst::Everything => told.push("all is stored as `[in, out]`".to_owned()),
    }
    if !row.heads.is_empty() {
        told.push(format!("heads: {}", coded(row.heads.iter())));
    }
    for (odd, words) in [(Odd::Transposed, "transposed"), (Odd::Grouped, "in groups")] {
        let names: Vec<&str> = row.odd.iter().filter(|(_, own)| *own == odd).map(|(name, _)| *name).collect();
        if !names.is_empty() {
            told.push(format!("convolutions that are {words}: {}", coded(names.iter())));
        }
    }
    match row.refused {
        Some(Refused::MambaKernels) => told.push("PEFT refuses the modules that the Mamba kernels read".to_owned()),
        Some(Refused::Experts) => told.push("PEFT cannot adapt the experts".to_owned()),
        None => {}
    }
    if !row.own_convolutions.is_empty() {
        told.push(format!("convolutions that PEFT cannot adapt: {}", coded(row.own_convolutions.iter())));
    }
    if !row.bypassed.is_empty() {
        told.push(format!("an adapter has no effect on {}", coded(row.bypassed.iter())));
    }
    told
}

/// With `LASER_SCAN_BLESS=1` the page is written anew.
#[test]
fn the_page_says_what_the_tables_say() {
    let expected = format!("{HEAD}{}\n{}\n{ROWS}{}", libraries(), tested(), rows());
    if std::env::var_os("LASER_SCAN_BLESS").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE), expected).expect("writable");
    } else {
        assert_eq!(read(PAGE), expected, "run with LASER_SCAN_BLESS=1 and look at what changed");
    }
}
