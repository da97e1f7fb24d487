//! Blocks of code do what the pages say. The part on documentation of CONTRIBUTING.md tells how blocks are marked.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::{Block, Page, pages};
use crate::support::program::{Workplace, in_project};

/// A line that stands for any lines, none among them.
const ANYTHING: &str = "…";

/// How long something took, which is not the same in any two runs.
static DURATION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bin \d+\.\d s\b").expect("sound"));

/// A place in which a page's blocks run, with the repository's examples.
fn place() -> Workplace {
    let place = Workplace::new();
    copy(Path::new(&in_project("examples")), &place.path("examples"));
    place
}

/// A copy is changed by nobody else, and changes nothing.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("created");
    for entry in fs::read_dir(from).expect("readable").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

/// Runs `script` in `place` as a user would: the program is on the path, and nothing is asked of the network.
fn bash(place: &Workplace, script: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_laser-scan")).parent().expect("a folder");
    let paths = env::var_os("PATH").unwrap_or_default();
    let paths = [program.to_owned()].into_iter().chain(env::split_paths(&paths));
    let mut command = Command::new("bash");
    for (variable, _) in env::vars().filter(|(name, _)| name.starts_with("HF_") || name == "NO_COLOR") {
        command.env_remove(variable);
    }
    command
        .args(["-euo", "pipefail", "-c", script])
        .env("PATH", env::join_paths(paths).expect("paths"))
        .env("HOME", place.path("."))
        .env("HF_HUB_OFFLINE", "1")
        .current_dir(place.path("."));
    command.output().expect("bash")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What is wrong with the blocks of a page.
fn complaints(page: &Page) -> Vec<String> {
    let place = place();
    let check = |block: Block| {
        let complaint = complaint(&place, &block).err()?;
        Some(format!("{}: {complaint}, in the block\n{}", page.path, block.code))
    };
    page.blocks().into_iter().filter_map(check).collect()
}

fn complaint(place: &Workplace, Block { info, code }: &Block) -> Result<(), String> {
    match info.split(' ').collect::<Vec<_>>()[..] {
        ["sh", "run"] => {
            let output = bash(place, code);
            let status = output.status;
            status.success().then_some(()).ok_or_else(|| format!("{status}: {}", text(&output.stderr)))
        }
        ["sh"] => parses(code, "bash", &["-n"]).and_then(|()| code.lines().try_for_each(|line| accepted(place, line))),
        ["console", "run"] => session(code).iter().try_for_each(|(command, wanted)| prints(place, command, wanted)),
        ["json", "in", file] => {
            let said: Value = serde_json::from_str(&format!("{{{code}}}")).map_err(|error| error.to_string())?;
            holds(&place.json(file), &said, file)
        }
        ["json"] => serde_json::from_str::<Value>(&format!("{{{code}}}")).map(drop).map_err(|error| error.to_string()),
        ["python"] => parses(code, "python3", &["-c", "import ast, sys; ast.parse(sys.stdin.read())"]),
        ["text"] => Ok(()),
        _ => Err(format!("nothing is known of blocks that are marked as '{info}'")),
    }
}

/// Whether a parser, which reads its standard input, takes `code`.
fn parses(code: &str, parser: &str, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(parser);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{parser}: {error}"))?;
    child.stdin.take().expect("a pipe").write_all(code.as_bytes()).map_err(|error| format!("{parser}: {error}"))?;
    let output = child.wait_with_output().map_err(|error| format!("{parser}: {error}"))?;
    output.status.success().then_some(()).ok_or_else(|| text(&output.stderr))
}

/// Whether a line that starts the program has only options and values that it takes. With `--help` it reads all of them, and runs
/// nothing.
fn accepted(place: &Workplace, line: &str) -> Result<(), String> {
    if !line.starts_with("laser-scan ") {
        return Ok(());
    }
    let command = line.split_once(" #").map_or(line, |(command, _)| command);
    let output = bash(place, &format!("{command} --help"));
    output.status.success().then_some(()).ok_or_else(|| text(&output.stderr))
}

/// The commands of a session at a terminal, each with what it is to print.
fn session(code: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in code.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), String::new())),
            (None, Some((_, wanted))) => *wanted += &format!("{line}\n"),
            (None, None) => panic!("'{line}' is printed by nothing"),
        }
    }
    commands
}

fn prints(place: &Workplace, command: &str, wanted: &str) -> Result<(), String> {
    let output = bash(place, &format!("exec 2>&1\n{command}"));
    let printed = text(&output.stdout);
    if !output.status.success() {
        return Err(format!("'{command}': {}: {printed}", output.status));
    }
    let lines = |text: &str| DURATION.replace_all(text, "in … s").lines().map(str::to_owned).collect::<Vec<_>>();
    fits(&lines(wanted), &lines(&printed)).then_some(()).ok_or_else(|| format!("'{command}' prints\n{printed}"))
}

/// Whether these lines are printed, where [`ANYTHING`] stands for any number of lines.
fn fits(wanted: &[String], printed: &[String]) -> bool {
    match (wanted.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == ANYTHING => {
            (0..=printed.len()).any(|skipped| fits(rest, &printed[skipped..]))
        }
        (Some((first, rest)), Some((line, others))) => first == line && fits(rest, others),
        _ => false,
    }
}

/// Whether all that is `said` is in the `file`, numbers to nine digits.
fn holds(file: &Value, said: &Value, what: &str) -> Result<(), String> {
    match (file, said) {
        (Value::Object(file), Value::Object(said)) => said.iter().try_for_each(|(key, said)| {
            let found = file.get(key).ok_or_else(|| format!("{what} has no '{key}'"))?;
            holds(found, said, &format!("{what}: {key}"))
        }),
        (Value::Number(found), Value::Number(number)) => {
            let [found, number] = [found, number].map(|number| number.as_f64().unwrap_or(f64::NAN));
            let is_near = (found - number).abs() <= 1e-9 * number.abs();
            is_near.then_some(()).ok_or_else(|| format!("{what} is {found}, not {number}"))
        }
        (found, said) => (found == said).then_some(()).ok_or_else(|| format!("{what} is {found}, not {said}")),
    }
}

#[test]
fn every_block_holds() {
    let complaints: Vec<String> = pages().iter().flat_map(complaints).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn the_pages_run_what_they_show() {
    let marked = |page: &Page| page.blocks().iter().any(|block| block.info.ends_with(" run"));
    let running: Vec<String> = pages().into_iter().filter(marked).map(|page| page.path).collect();
    for path in
        ["README.md", "docs/README.md", "docs/files.md", "docs/scale.md", "docs/scripting.md", "docs/trainers.md"]
    {
        assert!(running.iter().any(|running| running == path), "{path} runs nothing");
    }
}

#[test]
fn blocks_that_do_not_hold_are_found() {
    let wrong = [
        ("sh run", "laser-scan --model nowhere\n"),
        ("sh run", "false\ntrue\n"),
        ("sh", "echo 'no end\n"),
        ("sh", "laser-scan export axolotl scan.json --no-such-option   # a remark\n"),
        ("sh", "laser-scan --model m --top-n none\n"),
        ("console run", "$ echo one\ntwo\n"),
        ("console run", "$ echo one; false\none\n"),
        ("json in scan.json", "\"a\": {\"b\": 1.00000001}\n"),
        ("json in scan.json", "\"b\": 1\n"),
        ("json", "\"a\": {\n"),
        ("python", "def\n"),
        ("fortran", "\n"),
    ];
    let right = [
        ("sh run", "test -e examples/tiny-mistral/config.json; laser-scan --version > version\n"),
        ("sh", "laser-scan export axolotl scan.json --rank 8   # a remark\nanything else\n"),
        ("console run", "$ test -s version; echo 'in 0.1 s'\nin 3.4 s\n$ printf '1\\n2\\n3\\n'\n1\n…\n3\n…\n"),
        ("json in scan.json", "\"a\": {\"b\": 1.0000000001}\n"),
        ("json", "\"a\": 1\n"),
        ("python", "pass\n"),
    ];
    let page = |blocks: &[(&str, &str)]| Page {
        path: "page.md".to_owned(),
        text: blocks.iter().map(|(info, code)| format!("```{info}\n{code}```\n\n")).collect(),
    };
    let write = ("sh run", "echo '{\"a\": {\"b\": 1.0, \"c\": 2}}' > scan.json\n");
    assert_eq!(complaints(&page(&[&[write][..], &right].concat())), [""; 0]);
    for block in wrong {
        assert_eq!(complaints(&page(&[write, block])).len(), 1, "{block:?}");
    }
}
