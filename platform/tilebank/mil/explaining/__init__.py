"""What a head looked at: attention, contributions, bags with tiles removed."""
