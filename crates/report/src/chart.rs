//! A chart: how wide it is drawn, and as what it is written.
//!
//! Above: `page`. Below: `treemap`, `area`, `bands`, `roofline`, `lines`, `curves`, `reliability`, `scatter`, `axes::Sheet`, `drawing`. Not here: words around it, tables.
//! A page has each chart several times, drawn for different widths, and shows the one that fits: words on a drawing that is only
//! shrunk cannot be read on a phone.

mod area;
mod bands;
mod curves;
mod lines;
mod reliability;
mod roofline;
mod scatter;
mod treemap;

pub use area::{Area, Layer};
pub use bands::{BandColumn, BandPiece, Bands};
pub use curves::{Curve, Curves, Look, Mark};
pub use lines::{Lines, Series, Swept};
pub use reliability::{Reliability, ReliabilityBin};
pub use roofline::{Bandwidth, Origin, Roofline, RooflinePoint};
pub use scatter::{Dimension, Point, Scatter};
pub use treemap::{Tile, Treemap};

use crate::axes::{Heading, Sheet};
use crate::drawing::Drawing;
use crate::error::Result;

/// A chart.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Chart {
    /// Nested rectangles as large as what they stand for.
    Treemap(Treemap),
    /// Amounts over steps, one upon the other, with the peak.
    Area(Area),
    /// Channels along the depth of a network, in bands of what goes together.
    Bands(Bands),
    /// Work and speed under what a machine can do.
    Roofline(Roofline),
    /// Curves over a factor that is swept.
    Lines(Lines),
    /// Curves and clouds of points, each at places of its own.
    Curves(Curves),
    /// How often answers are right against how sure they are.
    Reliability(Reliability),
    /// Points with names, and those that no other beats.
    Scatter(Scatter),
}

/// A chart of its own.
const ALONE: Sheet =
    Sheet { width: 760.0, height: 340.0, rows: 7, columns: 8, heading: Heading::Inside };

/// On a page, with the class that `page.css` shows at that width. Desktop, half of it or a tablet, phone.
const ON_PAGE: [(&str, Sheet); 3] = [
    (
        "wide",
        Sheet { width: 1054.0, height: 400.0, rows: 8, columns: 10, heading: Heading::Outside },
    ),
    (
        "medium",
        Sheet { width: 560.0, height: 280.0, rows: 6, columns: 6, heading: Heading::Outside },
    ),
    (
        "narrow",
        Sheet { width: 324.0, height: 250.0, rows: 5, columns: 4, heading: Heading::Outside },
    ),
];

impl Chart {
    /// The title.
    ///
    /// # Examples
    /// ```
    /// use taper_report::{Chart, Treemap, Unit};
    /// let treemap = Treemap { title: "MACs".to_owned(), unit: Unit::Count, classes: vec![], tiles: vec![] };
    /// assert_eq!(Chart::from(treemap).title(), "MACs");
    /// ```
    #[must_use]
    pub fn title(&self) -> &str {
        match self {
            Self::Treemap(chart) => &chart.title,
            Self::Area(chart) => &chart.title,
            Self::Bands(chart) => &chart.title,
            Self::Roofline(chart) => &chart.title,
            Self::Lines(chart) => &chart.title,
            Self::Curves(chart) => &chart.title,
            Self::Reliability(chart) => &chart.title,
            Self::Scatter(chart) => &chart.title,
        }
    }

    /// An SVG file of its own, with its title, that loads nothing. It brings a background, so that it can be read on white and on
    /// dark, and follows the reader's choice between them.
    ///
    /// # Errors
    /// [`Error::Page`](crate::Error::Page) if the template does not fit, which would be a bug of this crate.
    ///
    /// # Examples
    /// ```
    /// use taper_report::{Chart, Tile, Treemap, Unit};
    /// let tiles = vec![Tile::leaf("conv", "dense", 3e6), Tile::leaf("fc", "linear", 1e6)];
    /// let treemap = Treemap { title: "MACs".to_owned(), unit: Unit::Count, classes: vec![], tiles };
    /// let svg = Chart::from(treemap).to_svg()?;
    /// assert!(svg.starts_with("<svg") && svg.contains("75.0 %"));
    /// # Ok::<(), taper_report::Error>(())
    /// ```
    pub fn to_svg(&self) -> Result<String> {
        self.draw(ALONE).to_svg()
    }

    /// All drawings of it for a page, one after the other.
    pub(crate) fn to_inline(&self) -> Result<String> {
        let drawings = ON_PAGE.iter().map(|&(class, sheet)| self.draw(sheet).to_inline(class));
        drawings.collect()
    }

    fn draw(&self, sheet: Sheet) -> Drawing {
        match self {
            Self::Treemap(chart) => chart.draw(sheet),
            Self::Area(chart) => chart.draw(sheet),
            Self::Bands(chart) => chart.draw(sheet),
            Self::Roofline(chart) => chart.draw(sheet),
            Self::Lines(chart) => chart.draw(sheet),
            Self::Curves(chart) => chart.draw(sheet),
            Self::Reliability(chart) => chart.draw(sheet),
            Self::Scatter(chart) => chart.draw(sheet),
        }
    }
}

impl From<Treemap> for Chart {
    fn from(chart: Treemap) -> Self {
        Self::Treemap(chart)
    }
}

impl From<Area> for Chart {
    fn from(chart: Area) -> Self {
        Self::Area(chart)
    }
}

impl From<Bands> for Chart {
    fn from(chart: Bands) -> Self {
        Self::Bands(chart)
    }
}

impl From<Roofline> for Chart {
    fn from(chart: Roofline) -> Self {
        Self::Roofline(chart)
    }
}

impl From<Lines> for Chart {
    fn from(chart: Lines) -> Self {
        Self::Lines(chart)
    }
}

impl From<Curves> for Chart {
    fn from(chart: Curves) -> Self {
        Self::Curves(chart)
    }
}

impl From<Reliability> for Chart {
    fn from(chart: Reliability) -> Self {
        Self::Reliability(chart)
    }
}

impl From<Scatter> for Chart {
    fn from(chart: Scatter) -> Self {
        Self::Scatter(chart)
    }
}
