//! The command line as hands expect it: what is short, what is printed, and what is meant by what is mistyped.

use std::fs;

use crate::support::program::{Workplace, finish, in_project, tiny_mistral};

/// A model is named by itself, by `scan` and by the option, and the results are the same.
#[test]
fn a_model_is_named_in_three_ways() {
    let tiny = tiny_mistral();
    let lines: [&[&str]; 3] = [
        &[&tiny, "-n", "2", "-o", "one", "-q"],
        &["scan", &tiny, "-n", "2", "-o", "two", "-q"],
        &["--model", &tiny, "--top-n", "2", "--output-dir", "three", "-q"],
    ];
    let place = Workplace::new();
    let results = lines.map(|line| {
        place.run(line).succeeded();
        let folder = line[line.len() - 2];
        ["", "_top_snr"].map(|ending| {
            fs::read(place.path(folder).join(format!("laser_scan_tiny-mistral{ending}.json"))).expect("written")
        })
    });
    assert!(results[0] == results[1] && results[1] == results[2]);
    place.run(&[&tiny, "--model", &tiny]).refused(2, &["cannot be used with '--model <MODEL>'"]);
    place.run(&["scan"]).refused(2, &["<MODEL|--model <MODEL>>"]);
}

#[test]
fn options_that_are_always_the_same_come_from_the_environment() {
    let place = Workplace::new();
    let run = |variable: (&str, &str), arguments: &[&str]| {
        let mut command = place.command();
        command.arg(tiny_mistral()).args(arguments);
        finish(command.env(variable.0, variable.1))
    };
    run(("LASER_SCAN_OUTPUT_DIR", "results"), &[]).succeeded();
    assert!(place.path("results/laser_scan_tiny-mistral.json").exists());
    // What is on the command line counts.
    run(("LASER_SCAN_OUTPUT_DIR", "results"), &["-o", "others"]).succeeded();
    assert!(place.path("others/laser_scan_tiny-mistral.json").exists());
    run(("LASER_SCAN_THREADS", "none"), &[]).refused(2, &["LASER_SCAN_THREADS", "a whole number"]);
    run(("LASER_SCAN_DEVICE", "tpu"), &[]).refused(2, &["LASER_SCAN_DEVICE: 'tpu' is no device"]);
    run(("LASER_SCAN_DEVICE", "tpu"), &["--device", "cpu"]).succeeded();
    run(("LASER_SCAN_DEVICE", ""), &[]).succeeded();
    // Commands that compute nothing do not mind.
    let mut command = place.command();
    finish(command.args(["show", "laser_scan_tiny-mistral.json"]).env("LASER_SCAN_THREADS", "none")).succeeded();
}

#[test]
fn a_dash_prints_the_numbers() {
    let place = Workplace::new();
    let run = place.run(&[&tiny_mistral(), "--output", "-", "-q"]);
    let file = fs::read_to_string(place.path("laser_scan_tiny-mistral.json")).expect("written");
    assert_eq!(run.succeeded().stdout.trim_end(), file.trim_end());
    place.run(&[&tiny_mistral(), "-o", "-"]).refused(2, &["a dash is no folder", "--output -"]);
    place.run(&[&tiny_mistral(), "--output", "-", "--json"]).refused(2, &["both say what is printed"]);
    place.run(&[&tiny_mistral(), "--output", "all.json", "--json", "-q"]).succeeded();
    assert!(place.path("all.json").exists());
    place.run(&[&tiny_mistral(), "--output", "-", "--part", "1/2"]).refused(2, &["a part chooses nothing"]);
}

#[test]
fn what_is_known_from_elsewhere_is_answered_with_what_is_meant() {
    let place = Workplace::new();
    let tiny = tiny_mistral();
    let answers: [(&[&str], &str); 13] = [
        (&[&tiny, "--token=hf_secret"], "set HF_TOKEN"),
        (&["scan", &tiny, "--gpu"], "--device cuda"),
        (&["delta", &tiny, &tiny, "--trust-remote-code"], "no code of a model is ever run"),
        (&["exprot"], "the command 'export' has a similar name"),
        (&["exprot", "axolotl", "scan.json"], "the command 'export' has a similar name"),
        (&["helpp"], "the command 'help' has a similar name"),
        (&[&tiny, "another"], "'another' is one model too many: one is scanned at a time"),
        (&[&tiny, "--top-m", "3"], "'--top-n'"),
        (&[&tiny, "-n", "-1"], "it takes a whole number of at least 1"),
        (&["export", "peft", "scan.json", "--rank", "-8"], "it takes a whole number from 1 to 65536"),
        (&["show", "scan.json", "--json"], "--format json"),
        (&["show", "scan.json", "--top-output", "-"], "a dash is no file: --format json prints the names"),
        (&[&tiny, "--top-output", "-"], "a dash is no file: --json prints the names of the best"),
    ];
    for (line, answer) in answers {
        place.run(line).refused(2, &[answer]);
    }
    // A folder of that name is a model.
    fs::create_dir(place.path("exprot")).expect("created");
    place.run(&["exprot"]).refused(1, &["exprot"]);
}

#[test]
fn shells_and_man_know_every_command() {
    let place = Workplace::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = place.run(&["completions", shell]);
        for word in ["top-percent", "export"] {
            assert!(script.succeeded().stdout.contains(word), "{word} is not in what {shell} completes");
        }
    }
    place.run(&["man", "pages/man1"]).succeeded();
    for page in ["laser-scan", "laser-scan-scan", "laser-scan-export", "laser-scan-merge"] {
        let text = fs::read_to_string(place.path(&format!("pages/man1/{page}.1"))).expect("written");
        assert!(text.contains(".TH ") && text.contains(&page.replace('-', "\\-")), "{page}: {text}");
    }
    let page = place.run(&["man"]);
    assert!(page.succeeded().stdout.contains(".TH laser"), "{}", page.stdout);
}

/// What Bash offers after these words, of which the last is not finished.
#[cfg(unix)]
fn completed(place: &Workplace, words: &[&str]) -> String {
    let script = place.run(&["completions", "bash"]);
    place.write(&[("laser-scan.bash", script.succeeded().stdout.as_bytes())]);
    let (last, former) = (words[words.len() - 1], words[words.len() - 2]);
    let line = format!(
        "source laser-scan.bash; COMP_WORDS=({}); COMP_CWORD={}; _laser__scan laser-scan '{last}' '{former}'; echo \"${{COMPREPLY[*]}}\"",
        words.join(" "),
        words.len() - 1
    );
    let output = std::process::Command::new("bash").args(["-c", &line]).current_dir(place.path("")).output();
    String::from_utf8(output.expect("bash").stdout).expect("UTF-8").trim().to_owned()
}

#[cfg(unix)]
#[test]
fn bash_completes_commands_and_their_options() {
    let place = Workplace::new();
    assert_eq!(completed(&place, &["laser-scan", "exp"]), "export");
    assert_eq!(completed(&place, &["laser-scan", "export", "axol"]), "axolotl axolotl-full");
    assert_eq!(completed(&place, &["laser-scan", "show", "--stat"]), "--statistic");
    assert_eq!(completed(&place, &["laser-scan", "show", "--statistic", "effective"]), "effective-rank");
    assert_eq!(completed(&place, &["laser-scan", "scan", "--top-p"]), "--top-percent");
}

#[test]
fn a_dash_prints_exports_and_pages() {
    let place = Workplace::new();
    place.run(&[&tiny_mistral(), "-n", "2", "-q"]).succeeded();
    let export = ["export", "peft", "laser_scan_tiny-mistral.json", "-n", "2", "-q"];
    let printed = place.run(&export).succeeded().stdout.clone();
    assert_eq!(place.run(&[&export[..], &["-o", "-"]].concat()).succeeded().stdout, printed);
    let page = place.run(&["report", "laser_scan_tiny-mistral.json", "-o", "-"]);
    assert!(page.succeeded().stdout.starts_with("<!DOCTYPE html>"), "{:.100}", page.stdout);
    assert!(!place.path("-").exists());
}

#[test]
fn an_output_folder_that_is_a_file_is_refused_before_a_scan() {
    let place = Workplace::new();
    place.write(&[("taken", b"a file")]);
    for folder in ["taken", "taken/below"] {
        for more in [&[][..], &["--dry-run"]] {
            let run = place.run(&[&[tiny_mistral().as_str(), "-o", folder], more].concat());
            run.refused(1, &["'taken' is a file and no folder: choose another place"]);
        }
    }
    place.run(&[&tiny_mistral(), "--top-output", "taken/top.json", "--dry-run"]).refused(1, &["'taken' is a file"]);
    place.run(&["man", "taken"]).refused(1, &["the pages cannot be written to 'taken'"]);
}

/// What the wheel has for shells and `man`, beside the program. `LASER_SCAN_BLESS=1 cargo test` writes it anew.
#[test]
fn the_wheel_has_what_shells_and_man_have_of_this_version() {
    let place = Workplace::new();
    place.run(&["man", "man/man1"]).succeeded();
    let pages = fs::read_dir(place.path("man/man1")).expect("written").flatten();
    let mut files: Vec<String> = pages.map(|page| format!("man/man1/{}", page.file_name().to_string_lossy())).collect();
    for (shell, file) in [
        ("bash", "bash-completion/completions/laser-scan"),
        ("zsh", "zsh/site-functions/_laser-scan"),
        ("fish", "fish/vendor_completions.d/laser-scan.fish"),
    ] {
        let script = place.run(&["completions", shell]);
        place.write(&[(file, script.succeeded().stdout.as_bytes())]);
        files.push(file.to_owned());
    }
    let share = in_project("python/laser_scan.data/data/share");
    let share = std::path::Path::new(&share);
    let ours = |file: &str| fs::read(place.path(file)).expect("written");
    assert_eq!(files.len(), 13, "{files:?}");
    for file in files {
        if std::env::var_os("LASER_SCAN_BLESS").is_some() {
            fs::create_dir_all(share.join(&file).parent().expect("a folder")).expect("created");
            fs::write(share.join(&file), ours(&file)).expect("written");
        }
        let theirs = fs::read(share.join(&file)).expect("a file of the wheel");
        assert!(theirs == ours(&file), "{file}: run with LASER_SCAN_BLESS=1 and look at what changed");
    }
}

/// On a terminal of so many columns, by util-linux's `script`, which makes one.
#[cfg(target_os = "linux")]
fn on_terminal(place: &Workplace, columns: usize, line: &str) -> String {
    let program = place.command().get_program().to_string_lossy().into_owned();
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &format!("stty rows 24 cols {columns}; '{program}' {line}"), "/dev/null"]);
    let output = command.current_dir(place.path("")).env("TERM", "xterm").env_remove("NO_COLOR").output();
    String::from_utf8(output.expect("script of util-linux").stdout).expect("UTF-8").replace('\r', "\n")
}

#[cfg(target_os = "linux")]
#[test]
fn no_line_wraps_on_a_narrow_terminal() {
    let place = Workplace::new();
    let tiny = tiny_mistral();
    place.run(&[&tiny, "-q"]).succeeded();
    let plain = |text: &str| anstream::adapter::strip_str(text).to_string();
    for columns in [40, 60, 80, 120] {
        let shown = on_terminal(&place, columns, "show laser_scan_tiny-mistral.json");
        assert!(shown.contains("\u{1b}[1mtype"), "the head is not bold: {shown}");
        let text = plain(&shown);
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(longest <= columns, "{longest} in {columns}: {text}");
        assert!(text.contains("mlp.down_proj"), "{text}");
        assert_eq!(text.contains('█'), columns >= 80, "{text}");
        assert_eq!(text.contains("0-3"), columns <= 60, "{text}");
    }
}
