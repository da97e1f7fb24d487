//! How the eigenvalues of a Gram matrix are found: by the fastest way that the installed cuSOLVER has.
//!
//! Nearly all of the time of a large matrix goes into its reduction to a tridiagonal matrix. In one stage that is half
//! matrix-vector products, which are as fast as the GPU's memory; in two stages, by way of a band matrix, it is matrix
//! products. Small matrices fill a GPU only if many of them are reduced at once.

use std::fmt;

/// A way to find eigenvalues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eigensolver {
    /// `cusolverDnXsyevBatched`, of several matrices of one order at once.
    Batched,
    /// `cusolverDnXsyevd`, told to reduce in two stages.
    TwoStage,
    /// `cusolverDnXsyevd` as it comes.
    Default,
    /// `cusolverDnDsytrd`, which reduces in one stage, and the bisection of `kernels.cu`. What follows the reduction in
    /// versions of `cusolverDnXsyevd` that know one stage only seems to be done by one thread of the CPU.
    Bisection,
}

/// The numbers of a version of cuSOLVER.
pub type Version = [u32; 3];

/// Since this version matrices are solved by the batch, whatever their order.
const BATCHES: Version = [11, 7, 1];

/// Since this version two stages can be asked for, and small matrices need no other way.
const TWO_STAGES: Version = [12, 3, 4];

/// What the installed cuSOLVER can do.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    /// `None` if it does not tell.
    pub version: Option<Version>,
    /// Whether it takes the request for two stages.
    pub has_two_stages: bool,
}

/// The largest order of matrices that are solved by the batch.
pub const SMALL: usize = 1024;

/// The smallest order of a matrix that is worth two stages.
const LARGE: usize = 2048;

/// The way for matrices of order `n`, which does not depend on what is measured beside them.
pub fn choose(n: usize, abilities: Abilities) -> Eigensolver {
    let Some(version) = abilities.version else { return Eigensolver::Default };
    match n {
        ..=SMALL if version >= BATCHES => Eigensolver::Batched,
        LARGE.. if abilities.has_two_stages => Eigensolver::TwoStage,
        _ if version >= TWO_STAGES => Eigensolver::Default,
        _ => Eigensolver::Bisection,
    }
}

impl fmt::Display for Eigensolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Batched => "cusolverDnXsyevBatched",
            Self::TwoStage => "cusolverDnXsyevd in two stages",
            Self::Default => "cusolverDnXsyevd",
            Self::Bisection => "cusolverDnDsytrd and bisection",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_libraries_are_used_for_what_they_can() {
        let ways = |version: Option<Version>| {
            let has_two_stages = version.is_some_and(|version| version >= TWO_STAGES);
            [768, 1500, 4096].map(|n| choose(n, Abilities { version, has_two_stages }))
        };
        assert_eq!(ways(None), [Eigensolver::Default; 3]);
        assert_eq!(ways(Some([11, 6, 4])), [Eigensolver::Bisection; 3]);
        assert_eq!(ways(Some([12, 0, 4])), [Eigensolver::Batched, Eigensolver::Bisection, Eigensolver::Bisection]);
        // A library that does not take the request goes on as it comes.
        let unwilling = Abilities { version: Some([12, 4, 1]), has_two_stages: false };
        assert_eq!(choose(4096, unwilling), Eigensolver::Default);
        assert_eq!(ways(Some([12, 4, 1])), [Eigensolver::Batched, Eigensolver::Default, Eigensolver::TwoStage]);
    }
}
