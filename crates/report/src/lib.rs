//! What a network does and costs, to look at: PNG pictures, SVG charts and one self-contained HTML page.
//!
//! Above: `recipes`. Below: `image` (PNG), `colorous` (perceptual colormaps), `minijinja` (the page's template). Not here: networks,
//! files, what is worth showing.
//!
//! Numbers become a [`Picture`]: [`filters`] of a convolution, a [`feature_map`] of a layer, a [`HeatMap`] over an image. Or they become
//! a [`Chart`]: a [`Treemap`] of what takes how much, an [`Area`] of memory over time, [`Bands`] of channels that go together, a [`Roofline`], [`Lines`] over a factor that is
//! swept, a [`Scatter`] of accuracy over latency, [`Curves`] of a run, its [`Reliability`]. Pictures, charts, tables and words become a [`Page`], which is one HTML text with
//! everything in it; a chart alone is an SVG file, by [`Chart::to_svg`].
//!
//! ```
//! use taper_report::{Block, Figure, Page, Section, feature_map};
//!
//! // A map of 2x2 positions and 2 channels; the second one is shown.
//! let map = [0.0, 1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0];
//! let picture = feature_map(&map, [2, 2, 2], 1)?;
//! assert!(picture.to_png()?.starts_with(b"\x89PNG"));
//!
//! let figure = Figure { picture, caption: "channel 1".to_owned() };
//! let tiles = Block::Tiles { title: "stem".to_owned(), note: String::new(), figures: vec![figure] };
//! let section = Section { title: "a.png".to_owned(), note: String::new(), blocks: vec![tiles] };
//! let page = Page { title: "Look".to_owned(), note: String::new(), sections: vec![section] };
//! assert!(page.to_html()?.contains("channel 1"));
//! # Ok::<(), taper_report::Error>(())
//! ```

mod axes;
mod chart;
mod classes;
mod colormap;
mod drawing;
mod error;
mod feature_map;
mod filters;
mod heat_map;
mod page;
mod picture;
mod scale;
mod squarify;
mod table;
mod theme;
mod unit;
mod words;

pub use chart::{
    Area, BandColumn, BandPiece, Bands, Bandwidth, Chart, Curve, Curves, Dimension, Layer, Lines,
    Look, Mark, Origin, Point, Reliability, ReliabilityBin, Roofline, RooflinePoint, Scatter,
    Series, Swept, Tile, Treemap,
};
pub use colormap::Colormap;
pub use error::{Error, Result};
pub use feature_map::{feature_map, strongest};
pub use filters::filters;
pub use heat_map::HeatMap;
pub use page::{Bar, Block, Fact, Figure, Matrix, Page, Photo, Section};
pub use picture::Picture;
pub use scale::Scale;
pub use table::{Cell, Table};
pub use theme::page as page_style;
pub use unit::Unit;
