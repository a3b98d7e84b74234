"""What is learned and said: models, one training loop, rounds over Flower. Decides nothing about who may do what."""
