//! Why a model has no module that can be measured.

use super::left_out::{LeftOut, Reason};
use super::{Discovery, warnings};

#[derive(Debug, thiserror::Error)]
#[error("'{model}' holds no linear module that can be measured: {why}")]
pub struct NoModuleError {
    pub model: String,
    why: String,
    /// Why tensors were left out that could be measured, if there are some.
    pub left_out: Option<Reason>,
}

/// Fails if nothing was found in `model`, although all of it can be read.
pub fn check(model: &str, discovery: &Discovery) -> Result<(), NoModuleError> {
    if !discovery.modules.is_empty() {
        return Ok(());
    }
    let model = model.to_owned();
    let why = warnings(&discovery.missing);
    if !why.is_empty() {
        return Err(NoModuleError { model, why: why.join("; "), left_out: None });
    }
    let (why, left_out) = of_left_out(&discovery.left_out);
    Err(NoModuleError { model, why, left_out })
}

/// Why there is nothing to measure in a model of which all was left out.
fn of_left_out(all: &[LeftOut]) -> (String, Option<Reason>) {
    let none = format!("none of its {} tensors is the weight of one", all.len());
    let of = |is_wanted: &dyn Fn(&Reason) -> bool| {
        let mut of_reason = all.iter().map(|left_out| &left_out.reason).filter(|reason| is_wanted(reason));
        of_reason.next().map(|first| (first.clone(), of_reason.count() + 1))
    };
    if let Some((reason, count)) = of(&Reason::is_linear) {
        (format!("{none} that is scanned by default, and {count} are left out (the first is {reason})"), Some(reason))
    } else if let Some((reason, count)) = of(&|reason| *reason == Reason::Convolution) {
        (format!("{none}, and {count} are those of convolutions"), Some(reason))
    } else if of(&|reason| *reason == Reason::Normalized).is_some() {
        let way = "weight_norm holds weights as length and direction, so save the model after \
                   torch.nn.utils.remove_weight_norm";
        (format!("{none}: {way}"), None)
    } else {
        (none, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::Role;

    #[test]
    fn what_could_be_measured_is_named() {
        let why = |reasons: &[Reason]| {
            let left_out = |reason: &Reason| LeftOut::new("name".into(), None, reason.clone());
            let left_out = reasons.iter().map(left_out).collect();
            let discovery = Discovery { left_out, ..Discovery::default() };
            let error = check("m", &discovery).expect_err("there is no module");
            (error.to_string(), error.left_out)
        };
        let none = "'m' holds no linear module that can be measured: none of its";
        assert_eq!(why(&[Reason::Vector]), (format!("{none} 1 tensors is the weight of one"), None));
        let (text, left_out) = why(&[Reason::Convolution, Reason::Vector, Reason::Convolution]);
        assert_eq!(text, format!("{none} 3 tensors is the weight of one, and 2 are those of convolutions"));
        assert_eq!(left_out, Some(Reason::Convolution));
        assert_eq!(why(&[Reason::Convolution, Reason::Role(Role::Head)]).1, Some(Reason::Role(Role::Head)));
        assert!(why(&[Reason::Normalized]).0.ends_with("remove_weight_norm"));
    }
}
