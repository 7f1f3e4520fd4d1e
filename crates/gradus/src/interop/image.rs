//! Images of the `image` crate: tensors of height, width and channels.

use gradus_core::{Element, ErrorKind};
use image::{DynamicImage, ImageBuffer, Pixel};

use super::{extents, parts};
use crate::trace::OrFail;
use crate::{Result, Tensor};

impl<P: Pixel<Subpixel: Element>> From<ImageBuffer<P, Vec<P::Subpixel>>> for Tensor {
    /// The pixels are moved.
    fn from(image: ImageBuffer<P, Vec<P::Subpixel>>) -> Self {
        let shape = [image.height() as usize, image.width() as usize, usize::from(P::CHANNEL_COUNT)];
        let mut elements = image.into_raw();
        // A buffer may be longer than its image.
        elements.truncate(shape.iter().product());
        Tensor::new(shape, elements).or_fail()
    }
}

impl TryFrom<DynamicImage> for Tensor {
    type Error = crate::Error;
    /// # Errors
    /// For 16-bit images, which no dtype holds.
    fn try_from(image: DynamicImage) -> Result<Self> {
        Ok(match image {
            DynamicImage::ImageLuma8(image) => image.into(),
            DynamicImage::ImageLumaA8(image) => image.into(),
            DynamicImage::ImageRgb8(image) => image.into(),
            DynamicImage::ImageRgba8(image) => image.into(),
            DynamicImage::ImageRgb32F(image) => image.into(),
            DynamicImage::ImageRgba32F(image) => image.into(),
            other => {
                let detail = format!(
                    "no dtype holds {:?}; convert with `to_rgb8` or `to_rgb32f`, or with those of grey images",
                    other.color()
                );
                return Err(ErrorKind::Argument { op: "image", detail }.into());
            }
        })
    }
}

impl<P: Pixel<Subpixel: Element>> TryFrom<Tensor> for ImageBuffer<P, Vec<P::Subpixel>> {
    type Error = crate::Error;
    /// The elements are moved if nothing else holds them.
    ///
    /// # Errors
    /// If the dtype is not that of the pixels (floats are not scaled), or the shape not height, width and their channels; an image
    /// of one channel may be without the last axis.
    fn try_from(tensor: Tensor) -> Result<Self> {
        let channels = usize::from(P::CHANNEL_COUNT);
        let (shape, elements) = parts::<P::Subpixel>("image", tensor)?;
        let [height, width, found] = if shape.rank() == 2 {
            extents("image", &shape.concat(&[1]))?
        } else {
            extents("image", &shape)?
        };
        let sizes = (u32::try_from(width), u32::try_from(height));
        let (true, (Ok(width), Ok(height))) = (found == channels, sizes) else {
            let detail = format!("an image here has height, width and {channels} channels, each below 2³²");
            return Err(ErrorKind::Shape { op: "image", shapes: vec![shape], detail }.into());
        };
        Ok(ImageBuffer::from_raw(width, height, elements).expect("as many elements as the shape has"))
    }
}
