//! The top of the page: which scan it is, what its numbers mean, and what to be careful about.

use std::collections::BTreeMap;

use super::Page;
use super::content::{Content, Module};
use super::escape::{escape, join};
use crate::output::{counted, grouped};
use crate::report::{Caution, cautions};
use crate::scan::{Base, Options, Pooling, Provenance};
use crate::statistic::{Criterion, Ties};
use crate::trainers::quoted;

const NO_SPECTRA: &str = "The singular values themselves were not at hand when this page was written, so that it shows neither \
    the spectra of modules nor their quantiles; they are in the file of spectra that laser-scan writes beside a scan's numbers.";

pub fn facts(page: &Page<'_>, content: &Content<'_>) -> String {
    let (title, count) = (escape(page.title), counted(page.selection.ranked.len(), "module"));
    let chosen = content.modules.iter().filter(|module| module.is_chosen).count();
    let format = page.selection.scan.format;
    let facts =
        join(list(page, content), |(what, text)| format!("<div><dt>{what}</dt><dd>{}</dd></div>\n", escape(&text)));
    let cautions = notes(page);
    let lead = lead(content);
    format!(
        "<header>\n<h1>{title}</h1>\n<p class='sub'>{count}, <span data-chosen='all'>{chosen}</span> chosen; from a file of {format}</p>\n\
         <dl class='facts'>\n{facts}</dl>\n{lead}{cautions}</header>\n"
    )
}

/// What is known of the scan, each with what it is called.
fn list(page: &Page<'_>, content: &Content<'_>) -> Vec<(&'static str, String)> {
    let scan = page.selection.scan;
    let mut facts = Vec::new();
    if let Some(Provenance { commit, date, version, device, options, model, base, .. }) = &scan.provenance {
        facts.extend(commit.clone().map(|commit| ("Commit", commit)));
        facts.extend(base.iter().map(|base| ("Base", named(base))));
        facts.push(("Scanned", format!("{date}, by laser-scan {version} on {device}")));
        facts.push(("Command", command(model, base.as_ref(), options)));
    }
    let measured = || content.modules.iter().filter(|module| module.rank > 0 && module.members.len() == 1);
    let parameters: Option<u64> = measured().map(elements).try_fold(0u64, |sum, one| Some(sum.saturating_add(one?)));
    facts.extend(
        parameters.filter(|sum| *sum > 0).map(|sum| ("Parameters", format!("{} in the ranked modules", grouped(sum)))),
    );
    let mut dtypes: BTreeMap<&str, usize> = BTreeMap::new();
    measured()
        .filter_map(|module| module.info.dtype.as_deref())
        .for_each(|dtype| *dtypes.entry(dtype).or_default() += 1);
    let several = dtypes.len() > 1;
    let dtype = |(name, count): (&&str, &usize)| {
        if several { format!("{name} in {}", counted(*count, "module")) } else { (*name).to_owned() }
    };
    let stored: Vec<String> = dtypes.iter().map(dtype).collect();
    facts.extend((!stored.is_empty()).then(|| ("Stored as", stored.join(", "))));
    facts.push(("Ranked by", ranked_by(page)));
    facts
}

/// A base model with its commit, if it has one.
fn named(base: &Base) -> String {
    base.commit.as_ref().map_or_else(|| base.model.clone(), |commit| format!("{} at {commit}", base.model))
}

/// The number of elements of a module's weight, if its shape is known.
fn elements(module: &Module<'_>) -> Option<u64> {
    let [rows, columns] = module.info.shape?;
    Some((rows as u64).saturating_mul(columns as u64))
}

fn ranked_by(page: &Page<'_>) -> String {
    let scan = page.selection.scan;
    let statistic = match scan.ranking().criterion {
        Criterion::Laser => "snr, the ratio of laser-QLoRA",
        Criterion::Mp => "mp, signal over noise at the edge of Marchenko and Pastur",
        Criterion::EffectiveRank => "effective-rank, over how many singular values a weight spreads",
        Criterion::Alpha => "alpha, the exponent of the spectrum's tail",
        Criterion::RelativeNorm => "relative-norm, the norm of a change over that of what was changed",
    };
    let ties = if scan.ranking().ties == Ties::Margin { "; infinite ratios by their margin" } else { "" };
    let pools = match scan.pooling() {
        Pooling::None => "",
        Pooling::Mean => "; the experts of a layer together, by their mean",
        Pooling::Max => "; the experts of a layer together, by the largest",
    };
    format!("{statistic}{ties}{pools}")
}

/// The command line of the scan, as far as the manifest tells.
fn command(model: &str, base: Option<&Base>, options: &Options) -> String {
    let Options { revision, base_revision, top_n, top_percent, budget, types, layers, emit, include, exclude, .. } =
        options;
    let mut words = vec!["laser-scan".to_owned()];
    match base {
        Some(base) => words.extend(["delta".to_owned(), quoted(&base.model), quoted(model)]),
        None => words.extend(["--model".to_owned(), quoted(model)]),
    }
    let mut with = |option: &str, value: String| words.extend([option.to_owned(), quoted(&value)]);
    base_revision.iter().for_each(|revision| with("--base-revision", revision.clone()));
    revision.iter().for_each(|revision| with("--revision", revision.clone()));
    top_n.iter().for_each(|count| with("--top-n", count.to_string()));
    top_percent.iter().for_each(|percent| with("--top-percent", percent.to_string()));
    budget.iter().for_each(|budget| with("--budget", budget.to_string()));
    types.iter().for_each(|pattern| with("--types", pattern.clone()));
    layers.iter().for_each(|layers| with("--layers", layers.clone()));
    include.iter().for_each(|pattern| with("--include", pattern.clone()));
    exclude.iter().for_each(|pattern| with("--exclude", pattern.clone()));
    emit.iter().for_each(|trainer| with("--emit", trainer.clone()));
    match options.pool_experts {
        Pooling::None => {}
        Pooling::Mean => with("--pool-experts", "mean".to_owned()),
        Pooling::Max => with("--pool-experts", "max".to_owned()),
    }
    let usual = if base.is_some() { Criterion::RelativeNorm } else { Criterion::Laser };
    if options.statistic != usual {
        with("--statistic", options.statistic.to_string());
    }
    if options.ties == Ties::Margin {
        with("--ties", "margin".to_owned());
    }
    let flags = [
        (options.global, "--global"),
        (options.all_linear, "--all-linear"),
        (options.include_conv, "--include-conv"),
        (options.split_fused, "--split-fused"),
    ];
    words.extend(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag.to_owned()));
    words.join(" ")
}

/// What the numbers mean, and what they do not.
fn lead(content: &Content<'_>) -> String {
    let middle = median_share(content).map_or_else(String::new, |share| {
        format!(" In this scan the module in the middle has {:.0} % of its singular values above it.", 100.0 * share)
    });
    let statistic = match content.criterion {
        Criterion::Laser => format!(
            "The ratio snr is the sum of a weight's singular values above a threshold, divided by the sum of the others and by the \
             largest of all. laser-QLoRA takes the threshold from the spread of the singular values; it does not part signal from \
             noise.{middle} A ratio is infinite where no singular value lies below the threshold, as happens to the flat spectrum \
             of a narrow matrix; it does not mean that a weight has no noise."
        ),
        Criterion::Mp => "The value mp is the sum of a weight's singular values above the edge that noise of the same shape would \
             have, by the law of Marchenko and Pastur, divided by the sum of the others. The level of the noise is taken from the \
             median singular value."
            .to_owned(),
        Criterion::EffectiveRank => "The effective rank is the exponential of the entropy of a weight's singular values, as a part \
             of their number: it is high where many of them are about equally large."
            .to_owned(),
        Criterion::Alpha => "The value alpha is the exponent of a weight's tail of large singular values: it is high where none of \
             them stands out far."
            .to_owned(),
        Criterion::RelativeNorm => "The relative norm is the Frobenius norm of what fine-tuning changed in a weight, divided by that of the \
             weight before: it is 0 where nothing changed. All spectra on this page are those of the changes."
            .to_owned(),
    };
    format!(
        "<p class='lead'>{statistic}</p>\n<p class='lead'>Each module is compared only with others of its type, and the best of a \
         type are chosen. What the number measures, and how other statistics order the same modules, is in docs/statistic.md of \
         laser-scan.</p>\n"
    )
}

/// The median of the shares of singular values above the threshold, if any is known.
fn median_share(content: &Content<'_>) -> Option<f64> {
    let mut shares: Vec<f64> = content.modules.iter().filter_map(Module::share).collect();
    shares.sort_unstable_by(f64::total_cmp);
    shares.get(shares.len() / 2).copied()
}

/// The reasons for caution, one for each type, and what the page lacks.
fn notes(page: &Page<'_>) -> String {
    let mut notes: Vec<String> = cautions(page.selection.scan).iter().map(Caution::to_string).collect();
    if page.selection.scan.spectra.is_none() {
        notes.push(NO_SPECTRA.to_owned());
    }
    if notes.is_empty() {
        return String::new();
    }
    let items = join(notes, |note| {
        let end = if note.ends_with('.') { "" } else { "." };
        format!("<li>{}{end}</li>\n", escape(&note))
    });
    format!("<section class='cautions'>\n<h2>To be careful about</h2>\n<ul>\n{items}</ul>\n</section>\n")
}
