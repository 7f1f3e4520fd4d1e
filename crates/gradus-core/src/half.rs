//! The 16-bit floats of the `half` crate, which have the bits of those here.

use crate::{Bf16, F16};

macro_rules! same_bits {
    ($($ours:ident $theirs:ident;)*) => {$(
        impl From<half::$theirs> for $ours {
            #[inline]
            fn from(x: half::$theirs) -> Self {
                $ours(x.to_bits())
            }
        }
        impl From<$ours> for half::$theirs {
            #[inline]
            fn from(x: $ours) -> Self {
                half::$theirs::from_bits(x.0)
            }
        }
    )*};
}

same_bits! {
    F16 f16;
    Bf16 bf16;
}
