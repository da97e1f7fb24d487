//! Modules that LoRA cannot train whichever trainer is asked.

use super::choice::Choice;
use super::resolve::listed;

/// Modules whose weight the model's own code reads, without calling them, so that an adapter beside them does nothing: the
/// architectures, and what such a module's name ends in.
const BYPASSED: [(&[&str], &[&str]); 7] = [
    (&["mamba", "falcon_mamba"], &["mixer.dt_proj", "mixer.x_proj"]),
    (&["jamba"], &["mamba.dt_proj"]),
    (&["granitemoehybrid", "bamba", "zamba2"], &["mamba.out_proj"]),
    (&["wavlm"], &["attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.out_proj"]),
    (&["siglip", "siglip2"], &["head.attention.out_proj"]),
    (&["aria"], &["multihead_attn.out_proj"]),
    (&["gemma3n", "gemma3n_text"], &["altup.correction_coefs"]),
];

/// What is said of modules beside which an adapter does nothing.
pub fn bypassed(choice: &Choice<'_>) -> Option<String> {
    let own = BYPASSED.iter().filter(|(types, _)| choice.is_of(types));
    let endings: Vec<&str> = own.flat_map(|(_, names)| *names).copied().collect();
    let names = choice.trained().map(|place| choice.target(place).name.as_str());
    let names: Vec<&str> = names.filter(|name| endings.iter().any(|ending| name.ends_with(ending))).collect();
    let text =
        |names| format!("the model reads these weights by itself, so that adapters beside them do nothing: {names}");
    (!names.is_empty()).then(|| text(listed(&names)))
}
