"""What stands around a synthetic person: camera, background, light and the film it is recorded on."""
