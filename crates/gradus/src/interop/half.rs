//! Numbers of the `half` crate as elements: the bits are those of [`F16`] and [`Bf16`].

use crate::{Bf16, F16, Result, Tensor};

macro_rules! sixteen {
    ($($ours:ident $theirs:ident;)*) => {$(
        impl From<half::$theirs> for Tensor {
            /// A scalar.
            fn from(value: half::$theirs) -> Self {
                $ours::from(value).into()
            }
        }

        impl From<Vec<half::$theirs>> for Tensor {
            /// One axis; the memory is kept.
            fn from(elements: Vec<half::$theirs>) -> Self {
                elements.into_iter().map($ours::from).collect::<Vec<_>>().into()
            }
        }

        impl From<&[half::$theirs]> for Tensor {
            /// One axis.
            fn from(elements: &[half::$theirs]) -> Self {
                elements.iter().map(|&x| $ours::from(x)).collect::<Vec<_>>().into()
            }
        }

        impl TryFrom<Tensor> for Vec<half::$theirs> {
            type Error = crate::Error;
            /// The elements in row-major order, moved if nothing else holds them.
            fn try_from(tensor: Tensor) -> Result<Self> {
                let (_, elements) = super::parts::<$ours>("half", tensor)?;
                Ok(elements.into_iter().map(Into::into).collect())
            }
        }
    )*};
}

sixteen! {
    F16 f16;
    Bf16 bf16;
}
