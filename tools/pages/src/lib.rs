//! The pages of the project as documentation, so that their examples run as tests.
//!
//! A package of its own, which is not published: published ones hold all files that they read.

macro_rules! pages {
    ($($(#[$only:meta])? $name:ident: $file:literal;)+) => {
        $(
            #[cfg(doctest)]
            $(#[$only])?
            #[doc = include_str!(concat!("../../../", $file))]
            pub struct $name;
        )+

        /// The files, from the root of the project.
        pub const PAGES: &[&str] = &[$($file),+];
    };
}

pages! {
    Readme: "README.md";
    Accuracy: "docs/accuracy.md";
    Architecture: "docs/architecture.md";
    ControlFlow: "docs/control-flow.md";
    CustomRules: "docs/custom-rules.md";
    Devices: "docs/devices.md";
    Errors: "docs/errors.md";
    #[cfg(feature = "interop")]
    Interop: "docs/interop.md";
    Introduction: "docs/introduction.md";
    Kinks: "docs/kinks.md";
    Memory: "docs/memory.md";
    Modes: "docs/modes.md";
    NanSafety: "docs/nan-safety.md";
    Profiling: "docs/profiling.md";
    Training: "docs/training.md";
}
