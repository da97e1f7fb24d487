//! The slider for how many modules of each type are chosen, and the lines for trainers. The script fills it.

use super::content::Content;

/// The largest rank of LoRA that can be entered.
const MOST_RANK: usize = 4096;

/// The section, which stays hidden without a script. It is left out where nothing is ranked.
pub fn section(content: &Content<'_>) -> String {
    let most = content.types.iter().map(|row| row.measured).max().unwrap_or(0);
    if most == 0 {
        return String::new();
    }
    let form = |key: &str, text: &str, checked: &str| {
        format!("<label><input type='radio' name='form' value='{key}'{checked}> {text}</label>\n")
    };
    format!(
        "<section id='choice' hidden>\n<h2>Choice</h2>\n<div class='knobs'>\n\
         <label for='n'>best of each type</label>\n<input type='range' id='n' min='1' max='{most}'>\n\
         <input type='number' id='n-exact' min='1' max='{most}' aria-label='best of each type, as a number'>\n\
         <label for='rank'>LoRA rank</label>\n<input type='number' id='rank' min='1' max='{MOST_RANK}' value='32'>\n</div>\n\
         <dl class='facts' aria-live='polite'>\n<div><dt>Modules</dt><dd id='count'></dd></div>\n\
         <div><dt>Trainable</dt><dd id='trainable'></dd></div>\n<div><dt>Matching rank</dt><dd id='matching'></dd></div>\n</dl>\n\
         <details id='export'>\n<summary>Copy what is chosen</summary>\n<fieldset class='modes'>\n<legend>As</legend>\n{}{}{}\
         </fieldset>\n<p class='sub' id='export-note'></p>\n\
         <textarea id='export-text' readonly rows='8' spellcheck='false' aria-label='what is chosen'></textarea>\n\
         <p><button type='button' id='copy'>Copy</button> <span id='copied' role='status'></span></p>\n</details>\n</section>\n",
        form("names", "names in memory", " checked"),
        form("peft", "PEFT, JSON", ""),
        form("axolotl", "Axolotl, YAML", ""),
    )
}
