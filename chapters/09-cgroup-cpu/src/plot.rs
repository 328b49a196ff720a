//! Usage over time, drawn while it goes on.

use std::fs;
use std::io::{Write, stderr};
use std::path::Path;

use anyhow::{Context, Result};
use ch00_ground::refusal::Refused;
use ch07_cgroup_hierarchy::view::save;
use plotters::prelude::*;
use textplots::{Chart, Plot as _, Shape};

/// How many processors a group used in each moment.
#[derive(Default)]
pub struct Plot {
    /// Seconds since the start, and processors since the moment before.
    points: Vec<(f32, f32)>,
    /// How many lines of the terminal the last drawing took.
    drawn: usize,
}

impl Plot {
    /// One moment more.
    pub fn add(&mut self, seconds: f64, processors: f64) {
        self.points.push((seconds as f32, processors as f32));
    }

    /// The highest that is shown: a little more than there was, so that the line does not stick to
    /// the frame.
    fn top(&self) -> f32 {
        self.points.iter().map(|point| point.1).fold(0.5, f32::max) * 1.1
    }

    fn end(&self) -> f32 {
        self.points.last().map_or(1.0, |point| point.0.max(1.0))
    }

    /// Draws it on the terminal, over the drawing before.
    ///
    /// # Errors
    ///
    /// When stderr is closed.
    pub fn show(&mut self) -> Result<()> {
        let mut chart = Chart::new_with_y_range(120, 32, 0.0, self.end(), 0.0, self.top());
        let line = Shape::Lines(&self.points);
        let chart = chart.lineplot(&line);
        chart.axis();
        chart.figures();
        let text = format!("processors in use\n{chart}");
        if self.drawn > 0 {
            write!(stderr(), "\x1b[{}A\x1b[J", self.drawn)?;
        }
        writeln!(stderr(), "{}", text.trim_end())?;
        self.drawn = text.trim_end().lines().count();
        Ok(())
    }

    /// The same as a picture.
    ///
    /// # Errors
    ///
    /// As for [`save`].
    pub fn write_svg(&self, path: &Path) -> Result<()> {
        let mut svg = String::new();
        self.draw(&SVGBackend::with_string(&mut svg, (640, 320)).into_drawing_area())
            .context("cannot draw the plot")?;
        save(path, &svg)
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, plotters::coord::Shift>) -> Result<()>
    where
        DB::ErrorType: 'static,
    {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(48)
            .build_cartesian_2d(0f32..self.end(), 0f32..self.top())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("seconds")
            .y_desc("processors in use")
            .draw()?;
        let blue = RGBColor(0, 90, 181);
        chart.draw_series(
            AreaSeries::new(self.points.iter().copied(), 0.0, blue.mix(0.2)).border_style(blue),
        )?;
        area.present()?;
        Ok(())
    }
}

/// Whether there is a folder for a picture, before anything is run for its sake.
///
/// # Errors
///
/// ENOENT when there is none.
pub fn check_place(picture: &Path) -> Result<()> {
    let folder = picture.parent().filter(|folder| *folder != "").unwrap_or(Path::new("."));
    fs::metadata(folder)
        .refused(|| format!("stat({folder:?})"), &[])
        .context("cannot save the picture")?;
    Ok(())
}
