//! The options in errors and remarks.

use super::*;

#[test]
fn errors_and_remarks_name_the_options_that_help() {
    let (trainer, name) = ("PEFT", "a".to_owned());
    let missed = ExportError::HitsNothing { trainer, name: name.clone() };
    let refused = ExportError::Unadaptable { trainer, name, why: "it fails" };
    for (error, expected) in [
        (missed, "PEFT would find nothing under the name 'a': leave it out with --types or --layers"),
        (refused, "PEFT cannot adapt 'a': it fails; choose others with --types"),
        (
            ExportError::NoShapes,
            "--match-rank needs the shape of every module, and this scan does not give them all: give the model with --model",
        ),
        (ExportError::Nothing, "nothing is chosen: the scan has no linear module with a ratio that may be trained"),
    ] {
        assert_eq!(error.with_advice().to_string(), expected);
    }
    let remark = |remedy| in_words(&Remark { text: "the head is trained".into(), remedy });
    assert_eq!(remark(None), "the head is trained");
    assert_eq!(remark(Some(Remedy::NoHead)), "the head is trained; --no-head leaves it out");
}
