"""The maps of an explanation: their tiles, the stage that draws them, the page with a slider."""
