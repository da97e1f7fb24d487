//! What the tests of the program share.

pub mod checkpoint;
pub mod hub;
pub mod hub_server;
pub mod llama;
pub mod pickle;
pub mod program;
pub mod scans;
pub mod web;

/// Makes a test of each name for each check, called `check::name`; a check is a function that takes a name. One more test holds
/// the list of names against what `there` says is there.
macro_rules! tests_of_each {
    ($there:expr, $names:tt, $($check:ident),+) => {
        $(mod $check {
            $crate::support::tests_of_each! { @ $check $names }
        })+

        #[test]
        fn everything_that_is_there_has_its_tests() {
            assert_eq!($there, $crate::support::tests_of_each! { @ $names });
        }
    };
    (@ $check:ident [$($name:ident)*]) => {
        $(#[test]
        fn $name() {
            super::$check(stringify!($name));
        })*
    };
    (@ [$($name:ident)*]) => { [$(stringify!($name)),*] };
}
pub(crate) use tests_of_each;
