//! One self-contained HTML page: words, bars, tables, charts and pictures, with the pictures inside of the text.
//!
//! Above: `recipes`. Below: `page::blocks`, `picture`, `chart`, `table`, `theme`, `minijinja`, which fills the page beside this file. Not here: what stands on a page,
//! writing the file.
//! The page loads nothing, runs no script, and follows the reader's choice of light or dark. All words are escaped.

mod blocks;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};

use crate::chart::Chart;
use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::table::Table;
use crate::theme;

pub use blocks::{Fact, Matrix, Photo};

/// A page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Above everything, and in the window's title.
    pub title: String,
    /// A sentence or two under the title; may be empty.
    pub note: String,
    /// One after the other.
    pub sections: Vec<Section>,
}

/// A part of a page with a heading of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// Beside the heading; may be empty.
    pub note: String,
    /// One after the other.
    pub blocks: Vec<Block>,
}

/// A piece of a section, on a card of its own.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Block {
    /// A few large pictures side by side, and shares of a whole as bars beside them.
    Spread {
        /// The pictures, smooth when they are enlarged.
        figures: Vec<Figure>,
        /// Over the bars; may be empty.
        heading: String,
        /// The shares.
        bars: Vec<Bar>,
    },
    /// Many small pictures in rows, whose pixels stay squares when they are enlarged.
    Tiles {
        /// The heading.
        title: String,
        /// Under the heading; may be empty.
        note: String,
        /// The pictures.
        figures: Vec<Figure>,
    },
    /// Charts, side by side where there is room.
    Charts {
        /// The heading.
        title: String,
        /// Under the heading; may be empty.
        note: String,
        /// The charts, each under its title.
        charts: Vec<Chart>,
        /// Beside the charts.
        table: Option<Table>,
    },
    /// A table, which can be scrolled from side to side where it is wider than the page.
    Table {
        /// The heading.
        title: String,
        /// Under the heading; may be empty.
        note: String,
        /// The table.
        table: Table,
    },
    /// Numbers that count, in large, side by side.
    Facts {
        /// The numbers.
        facts: Vec<Fact>,
    },
    /// Words that should be read first, a line each.
    Remarks {
        /// The lines.
        lines: Vec<String>,
    },
    /// Counts by row and column.
    Matrix {
        /// The heading.
        title: String,
        /// Under the heading; may be empty.
        note: String,
        /// The counts.
        matrix: Matrix,
    },
    /// Photographs in rows.
    Photos {
        /// The heading.
        title: String,
        /// Under the heading; may be empty.
        note: String,
        /// The photographs.
        photos: Vec<Photo>,
    },
    /// Words to copy, letter by letter.
    Code {
        /// The heading.
        title: String,
        /// Under the heading; may be empty.
        note: String,
        /// The words.
        text: String,
    },
    /// A table that is shown when it is asked for, such as the numbers of a chart.
    Folded {
        /// What is asked for.
        summary: String,
        /// The table.
        table: Table,
    },
}

/// A picture with words under it.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The picture.
    pub picture: Picture,
    /// The words; may be empty.
    pub caption: String,
}

/// A share of a whole with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// The name.
    pub label: String,
    /// From 0 to 1.
    pub share: f64,
}

impl Page {
    /// The page as text.
    ///
    /// # Errors
    /// [`Error::Png`] for a picture that cannot be encoded.
    ///
    /// # Examples
    /// ```
    /// use taper_report::Page;
    /// let page = Page { title: "<ants> & bees".to_owned(), note: String::new(), sections: Vec::new() };
    /// let html = page.to_html()?;
    /// assert!(html.starts_with("<!doctype html>"));
    /// assert!(html.contains("&lt;ants&gt; &amp; bees"));
    /// # Ok::<(), taper_report::Error>(())
    /// ```
    pub fn to_html(&self) -> Result<String> {
        let failed = |source| Error::Page { source };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.add_template("page", include_str!("page/page.html")).map_err(failed)?;
        let sections: Result<Vec<Value>> = self.sections.iter().map(Section::value).collect();
        let page = environment.get_template("page").map_err(failed)?;
        let values = context! {
            title => &self.title,
            note => &self.note,
            style => theme::page(),
            sections => sections?,
        };
        page.render(values).map_err(failed)
    }
}

impl Section {
    fn value(&self) -> Result<Value> {
        let blocks: Result<Vec<Value>> = self.blocks.iter().map(Block::value).collect();
        Ok(context! { title => &self.title, note => &self.note, blocks => blocks? })
    }
}

impl Block {
    fn value(&self) -> Result<Value> {
        let values = |figures: &[Figure]| -> Result<Vec<Value>> {
            figures.iter().map(Figure::value).collect()
        };
        Ok(match self {
            Self::Spread { figures, heading, bars } => {
                let bars: Vec<Value> = bars.iter().map(Bar::value).collect();
                context! { kind => "spread", figures => values(figures)?, heading, bars }
            }
            Self::Tiles { title, note, figures } => {
                context! { kind => "tiles", figures => values(figures)?, title, note }
            }
            Self::Charts { title, note, charts, table } => {
                // Names in a treemap need all the room there is.
                let is_wide = charts.iter().any(|chart| matches!(chart, Chart::Treemap(_)));
                let drawn = |chart: &Chart| -> Result<Value> {
                    Ok(context! { title => chart.title(), svg => chart.to_inline()? })
                };
                let charts: Result<Vec<Value>> = charts.iter().map(drawn).collect();
                let table = table.as_ref().map_or(Value::from(()), Table::value);
                context! { kind => "charts", charts => charts?, is_wide, title, note, table }
            }
            Self::Table { title, note, table } => {
                context! { kind => "listing", title, note, table => table.value() }
            }
            Self::Facts { facts } => {
                let facts: Vec<Value> = facts.iter().map(Fact::value).collect();
                context! { kind => "facts", facts }
            }
            Self::Remarks { lines } => context! { kind => "remarks", lines },
            Self::Matrix { title, note, matrix } => {
                context! { kind => "matrix", title, note, matrix => matrix.value() }
            }
            Self::Photos { title, note, photos } => {
                let photos: Result<Vec<Value>> = photos.iter().map(Photo::value).collect();
                let is_small = self.has_single_pictures();
                context! { kind => "photos", title, note, photos => photos?, is_small }
            }
            Self::Code { title, note, text } => context! { kind => "code", title, note, text },
            Self::Folded { summary, table } => {
                context! { kind => "folded", summary, table => table.value() }
            }
        })
    }
}

impl Block {
    /// Whether these are photographs of one picture each, of which more have room in a row.
    fn has_single_pictures(&self) -> bool {
        match self {
            Self::Photos { photos, .. } => photos.iter().all(|photo| photo.pictures.len() < 2),
            _ => false,
        }
    }
}

impl Bar {
    fn value(&self) -> Value {
        let percent = format!("{:.1}", 100.0 * self.share.clamp(0.0, 1.0));
        context! { label => &self.label, percent }
    }
}

impl Figure {
    fn value(&self) -> Result<Value> {
        let png = STANDARD.encode(self.picture.to_png()?);
        Ok(context! {
            png,
            caption => &self.caption,
            height => self.picture.height(),
            width => self.picture.width(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(caption: &str) -> Figure {
        let picture = Picture::new(1, 2, vec![7; 6]).unwrap();
        Figure { picture, caption: caption.to_owned() }
    }

    fn page(words: &str) -> Page {
        let word = || words.to_owned();
        let bars = vec![Bar { label: word(), share: 0.25 }];
        let spread = Block::Spread { figures: vec![figure(words)], heading: word(), bars };
        let tiles =
            Block::Tiles { title: word(), note: word(), figures: vec![figure(words), figure("")] };
        let section = Section { title: word(), note: word(), blocks: vec![spread, tiles] };
        Page { title: word(), note: word(), sections: vec![section] }
    }

    #[test]
    fn every_word_and_picture_is_on_the_page() {
        let html = page("ants").to_html().unwrap();
        assert_eq!(html.matches("data:image/png;base64,").count(), 3);
        assert!(html.matches("ants").count() >= 9, "{html}");
        assert!(html.contains("25.0 %"), "{html}");
    }

    #[test]
    fn words_cannot_become_markup() {
        let html = page("<script>\"'&").to_html().unwrap();
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("\"'&"), "{html}");
    }

    #[test]
    fn the_page_loads_nothing() {
        let html = page("ants").to_html().unwrap();
        for word in ["http:", "https:", "src=\"/", "url(", "@import", "<link"] {
            assert!(!html.contains(word), "{word}");
        }
    }

    #[test]
    fn a_picture_on_the_page_decodes() {
        let html = page("ants").to_html().unwrap();
        let (_, after) = html.split_once("base64,").unwrap();
        let (text, _) = after.split_once('"').unwrap();
        let png = STANDARD.decode(text).unwrap();
        let read = image::load_from_memory(&png).unwrap().into_rgb8();
        assert_eq!((read.dimensions(), read.into_raw()), ((2, 1), vec![7; 6]));
    }
}
