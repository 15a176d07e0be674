"""What the packages for a data lake share: findings made by SQL alone, and files that a team keeps beside them."""
